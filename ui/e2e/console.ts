/** What every browser test needs: a signed-in page that reports any error of the browser. */

import { type Page, expect, test as base } from '@playwright/test'

export const USER = process.env['FAULTLINE_E2E_USER'] ?? 'admin'
export const PASSWORD = process.env['FAULTLINE_E2E_PASSWORD'] ?? ''

/** Makes names that no other run has used: the server may be kept between runs. */
export const RUN = Date.now().toString(36)

export async function signIn(page: Page, name = USER, password = PASSWORD): Promise<void> {
  await page.goto('/sign-in')
  await page.getByLabel('User name').fill(name)
  await page.getByLabel('Password', { exact: true }).fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await expect(page.getByRole('heading', { level: 1 })).not.toHaveText('Faultline')
}

export const test = base.extend<{ watched: undefined; console: Page }>({
  /**
   * Fails a test whose page logged an error: a violated content policy, an exception, a bad prop.
   */
  watched: [
    async ({ page }, use) => {
      const errors: string[] = []
      page.on('pageerror', (error) => errors.push(error.message))
      page.on('console', (message) => {
        // The browser reports every refused request; asking who is signed in is one by design.
        if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
          errors.push(message.text())
        }
      })
      await use(undefined)
      expect(errors).toEqual([])
    },
    { auto: true },
  ],
  console: async ({ page }, use) => {
    await signIn(page)
    await use(page)
  },
})

export { expect }
