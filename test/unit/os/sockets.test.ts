/** The kernel's tables of sockets, as they stand in /proc. */
import { describe, expect, it } from 'vitest'
import { isBoundIn, parseInternet, parseUnix } from '../../../src/os/sockets.ts'

const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n'

function tcp(local: string, state: string, { uid = 0, inode = 77 } = {}): string {
  const remote = local.replace(/:.*/, '').replaceAll(/./g, '0')
  return `   0: ${local} ${remote}:0000 ${state} 00000000:00000000 00:00000000 00000000 ${uid}        0 ${inode} 1 00000000 100 0 0 10 0\n`
}

describe('parseInternet', () => {
  it.each([
    ['0100007F:1F90', '127.0.0.1:8080', 8080],
    ['00000000:0050', '0.0.0.0:80', 80],
    ['00000000000000000000000000000000:0050', '[::]:80', 80],
    ['00000000000000000000000001000000:FFFF', '[::1]:65535', 65_535],
    ['B80D0120000000000000000001000000:0001', '[2001:db8::1]:1', 1],
  ])('%s is %s', (local, address, port) => {
    expect(parseInternet('tcp', HEAD + tcp(local, '0A', { uid: 33 }))).toEqual([
      { kind: 'tcp', inode: '77', isListening: true, address, port, uid: 33 },
    ])
  })

  it('tells what listens from what is connected, or closing', () => {
    const table = HEAD + ['0A', '01', '08', '06'].map((state) => tcp('0100007F:1F90', state)).join('')
    expect(parseInternet('tcp', table).map((row) => row.isListening)).toEqual([true, false, false, false])
  })

  it('of UDP, what is not connected to anybody', () => {
    const table = HEAD + ['07', '01'].map((state) => tcp('0100007F:1F90', state)).join('')
    expect(parseInternet('udp', table).map(({ kind, isListening }) => [kind, isListening])).toEqual([
      ['udp', true],
      ['udp', false],
    ])
  })

  it('garbage, and no table at all, is no socket', () => {
    expect(parseInternet('tcp', '')).toEqual([])
    expect(parseInternet('tcp', `${HEAD}hello\n\n 0: 0100007F\n`)).toEqual([])
  })
})

describe('parseUnix', () => {
  const table = `Num       RefCount Protocol Flags    Type St Inode Path
0000000036e09dc9: 00000003 00000000 00000000 0001 03 3049302
0000000055dfc645: 00000002 00000000 00010000 0001 01 3049310 /run/a b/web.sock
0000000055dfc646: 00000003 00000000 00000000 0001 03  1072 /run/a b/web.sock
0000000055dfc647: 00000002 00000000 00010000 0001 01 9 @abstract
`
  it('a name is bound by who listens or is about to, not by who was accepted there', () => {
    const accepted = table.replace(
      '0000000055dfc645: 00000002 00000000 00010000 0001 01 3049310 /run/a b/web.sock\n',
      '',
    )
    expect(isBoundIn(table, '/run/a b/web.sock')).toBe(true)
    expect(isBoundIn(table.replace('00010000 0001 01 3049310', '00000000 0001 01 3049310'), '/run/a b/web.sock')).toBe(
      true,
    )
    expect(isBoundIn(accepted, '/run/a b/web.sock')).toBe(false)
    expect(isBoundIn(table, '/run/a')).toBe(false)
  })

  it('tells what listens from what was accepted there, with blanks in the path', () => {
    expect(parseUnix(table)).toEqual([
      { kind: 'unix', inode: '3049302', isListening: false, address: '', port: null, uid: null },
      { kind: 'unix', inode: '3049310', isListening: true, address: '/run/a b/web.sock', port: null, uid: null },
      { kind: 'unix', inode: '1072', isListening: false, address: '/run/a b/web.sock', port: null, uid: null },
      { kind: 'unix', inode: '9', isListening: true, address: '@abstract', port: null, uid: null },
    ])
  })

  it('garbage is no socket', () => {
    expect(parseUnix('')).toEqual([])
    expect(parseUnix('Num\nhello\n')).toEqual([])
  })
})
