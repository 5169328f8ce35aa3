/** The terminal as a picture: what is written to it, and that it is given back as it was. */
import { EventEmitter } from 'node:events'
import { describe, expect, it } from 'vitest'
import { Canvas } from '../../../src/cli/canvas.ts'

class FakeOutput extends EventEmitter {
  columns = 10
  rows = 4
  written: string[] = []

  write(text: string): boolean {
    this.written.push(text)
    return true
  }
}

class FakeInput extends EventEmitter {
  isTTY = true
  isRaw = false

  setRawMode(isRaw: boolean): this {
    this.isRaw = isRaw
    return this
  }

  resume(): this {
    return this
  }

  pause(): this {
    return this
  }
}

function open() {
  const output = new FakeOutput()
  const input = new FakeInput()
  const heard: string[] = []
  const canvas = new Canvas(input as unknown as NodeJS.ReadStream, output as unknown as NodeJS.WriteStream, {
    key: (key) => heard.push(key),
    redraw: () => heard.push('redraw'),
    lost: () => heard.push('lost'),
  })
  canvas.open()
  return { canvas, output, input, heard }
}

const ENTER = '\u001b[?1049h\u001b[?25l\u001b[?7l'
const LEAVE = '\u001b[4;1H\r\n\u001b[?7h\u001b[?25h\u001b[?1049l'

describe('Canvas', () => {
  it('takes the alternate screen and the keys, and gives them back once', () => {
    const before = process.listenerCount('exit') + process.listenerCount('SIGCONT')
    const { canvas, output, input } = open()
    expect(input.isRaw).toBe(true)
    canvas.close()
    canvas.close()
    expect(output.written).toEqual([ENTER, LEAVE])
    expect(input.isRaw).toBe(false)
    expect(process.listenerCount('exit') + process.listenerCount('SIGCONT')).toBe(before)
    expect(output.eventNames().concat(input.eventNames())).toEqual([])
  })

  it('draws over the old picture in one write, each line cleared to its end, and all below', () => {
    const { canvas, output } = open()
    canvas.draw(['web', '', 'jobs'])
    canvas.close()
    expect(output.written[1]).toBe(
      '\u001b[1;1Hweb\u001b[K\u001b[2;1H\u001b[K\u001b[3;1Hjobs\u001b[K\u001b[4;1H\u001b[J',
    )
  })

  it('clears nothing behind a line that fills its row, nor below a picture that fills the screen', () => {
    const { canvas, output } = open()
    canvas.draw(['0123456789', '网关网关网', 'c', '0123456789'])
    canvas.close()
    expect(output.written[1]).toBe(
      '\u001b[1;1H0123456789\u001b[2;1H网关网关网\u001b[3;1Hc\u001b[K\u001b[4;1H0123456789',
    )
  })

  it('draws nothing on a screen that is not its own', () => {
    const { canvas, output } = open()
    canvas.close()
    canvas.draw(['web'])
    expect(output.written).toEqual([ENTER, LEAVE])
  })

  it('tells keys one by one, and takes no arrow key for letters', () => {
    const { canvas, input, heard } = open()
    input.emit('data', Buffer.from('xq'))
    input.emit('data', Buffer.from('\u001b[1;2q'))
    input.emit('data', Buffer.from('\u0003'))
    canvas.close()
    expect(heard).toEqual(['x', 'q', '\u0003'])
  })

  it('wants to be drawn when the size changes, and says when the terminal went away', () => {
    const { canvas, output, input, heard } = open()
    output.emit('resize')
    output.emit('error', new Error('EIO'))
    input.emit('end')
    canvas.close()
    expect(heard).toEqual(['redraw', 'lost', 'lost'])
  })

  it('enters again when it was stopped and goes on: the shell has taken the terminal meanwhile', () => {
    const { canvas, output, heard } = open()
    process.emit('SIGCONT', 'SIGCONT')
    canvas.close()
    expect(output.written).toEqual([ENTER, ENTER, LEAVE])
    expect(heard).toEqual(['redraw'])
  })

  it('has a size also where the terminal does not know its own, and no keys without one to read', () => {
    const output = Object.assign(new FakeOutput(), { columns: 0, rows: 0 })
    const nothing = { key: () => undefined, redraw: () => undefined, lost: () => undefined }
    const canvas = new Canvas(null, output as unknown as NodeJS.WriteStream, nothing)
    expect(canvas.size).toEqual({ columns: 80, rows: 24 })
    expect(canvas.hasKeys).toBe(false)
  })
})
