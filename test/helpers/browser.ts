/** A real Chromium without a screen, for pages that people use. */
import { accessSync, constants } from 'node:fs'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, expect, onTestFinished } from 'vitest'

const BROWSERS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/**
 * One browser for all tests of the file.
 * @returns opens a window; what its page complains of fails the test.
 */
export function useBrowser(): () => Promise<Page> {
  let browser: Browser
  beforeAll(async () => {
    const executablePath = BROWSERS.find(isExecutable)
    expect(executablePath, 'a Chromium is installed').toBeDefined()
    // its sandbox needs rights that a container does not give
    browser = await chromium.launch({ executablePath: executablePath ?? '', args: ['--no-sandbox'] })
  }, 60_000)
  afterAll(() => browser.close())
  return async () => {
    const page = await browser.newPage()
    onTestFinished(() => page.close())
    page.on('pageerror', (error) => expect.unreachable(error.message))
    return page
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
