/**
 * A wall of windows: a browser opens six connections to a host, so however many windows there
 * are, they hear of what happens over one.
 */

import type { Page } from '@playwright/test'

import { RUN, expect, signIn, test } from './console'

/** One more than a browser has connections to a host. */
const WINDOWS = 7

const isLive = (page: Page) => page.getByRole('status').filter({ hasText: 'Live' })

test('seven windows load, are live, and hear of the same change', async ({ browser }) => {
  const context = await browser.newContext()
  const first = await context.newPage()
  await signIn(first)
  const windows = [first]
  while (windows.length < WINDOWS) windows.push(await context.newPage())
  for (const window of windows) {
    await window.goto('/tiers')
    await expect(window.getByRole('heading', { level: 1, name: 'Tiers' })).toBeVisible()
    await expect(isLive(window)).toBeVisible()
  }
  // All at once: the connections must be free for this.
  await Promise.all(windows.map((window) => window.reload()))
  for (const window of windows) await expect(isLive(window)).toBeVisible()

  const name = `wall-${RUN}`
  const last = windows.at(-1) ?? first
  await last.getByRole('button', { name: 'Create tier' }).click()
  const dialog = last.getByRole('dialog', { name: 'Create tier' })
  await dialog.getByLabel('Name').fill(name)
  await dialog.getByRole('button', { name: 'Create tier' }).click()
  for (const window of windows) await expect(window.getByRole('row', { name })).toBeVisible()

  // Whoever leaves takes nothing from those who stay.
  for (const window of windows.slice(1)) await window.close()
  await first.getByRole('button', { name: `Actions on ${name}` }).click()
  await first.getByRole('menuitem', { name: 'Delete' }).click()
  await first.getByRole('button', { name: 'Delete tier' }).click()
  await expect(first.getByRole('row', { name })).toBeHidden()
  await expect(isLive(first)).toBeVisible()
  await context.close()
})
