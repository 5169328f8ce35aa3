/** What a page has said, made safe: nothing but short text and a number, whatever came. */

const MAX_NAME = 20
const MAX_TEXT = 2_000

export interface Asked {
  readonly act: string
  readonly name: string
  readonly room: string
  readonly to: string
  readonly text: string
  /** Which of the page's messages it is. */
  readonly number: number
}

export function parse(data: string | Buffer): Asked {
  const { act, name, room, to, text, number } = fieldsOf(data)
  return {
    act: words(act),
    name: words(name),
    room: words(room),
    to: words(to),
    text: words(text, MAX_TEXT),
    number: Number(number) || 0,
  }
}

function fieldsOf(data: string | Buffer): Record<string, unknown> {
  try {
    return { ...(JSON.parse(String(data)) as object) }
  } catch {
    // it is not from our page
    return {}
  }
}

/** Text without anything around it; what is no text is none. */
export function words(value: unknown, maxLength = MAX_NAME): string {
  return typeof value === 'string' ? value.trim().replaceAll(/\s+/g, ' ').slice(0, maxLength).trim() : ''
}
