/** Cookies, in a request and in an answer; the package `cookie` knows how they are written (RFC 6265). */
import { type Cookies, parseCookie, type SetCookie, stringifySetCookie } from 'cookie'

export type { Cookies, SetCookie }

/** The first of each name; an object without a prototype. What cannot be decoded stays as it was sent. */
export function parseCookies(header: string | undefined): Cookies {
  return parseCookie(header ?? '')
}

/**
 * Adds a cookie to an answer; its value may be any text.
 * @throws TypeError for a name, a path or a domain that cannot be written.
 */
export function setCookie(response: Response, cookie: SetCookie): void {
  response.headers.append('Set-Cookie', stringifySetCookie(cookie))
}
