/**
 * What holds on every page: it can be read, reached by keyboard, on a phone, in the dark, and it
 * says when it is old.
 */

import AxeBuilder from '@axe-core/playwright'
import type { Page } from '@playwright/test'

import { expect, test } from './console'

const PAGES = [
  '/',
  '/incidents',
  '/incidents?show=all',
  '/map',
  '/topology',
  '/targets',
  '/agents',
  '/tiers',
  '/health',
  '/users',
  '/api-keys',
  '/webhooks',
  '/audit',
]
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']

async function settle(page: Page, path: string): Promise<void> {
  await page.goto(path)
  await expect(page.getByRole('heading', { level: 1 })).toBeVisible()
  await expect(page.getByText('Loading')).toHaveCount(0)
}

async function expectAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze()
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ''}`)).toEqual([])
}

for (const scheme of ['light', 'dark'] as const) {
  test(`every page is accessible in the ${scheme}`, async ({ console: page }) => {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' })
    for (const path of PAGES) {
      await settle(page, path)
      await expectAccessible(page)
    }
    await settle(page, '/targets')
    const first = page
      .getByRole('grid', { name: 'Targets', exact: true })
      .getByRole('link')
      .first()
    await first.click()
    await expect(page.getByRole('slider', { name: 'Moment' })).toBeVisible()
    await expectAccessible(page)
    await page.getByRole('button', { name: 'Table', exact: true }).click()
    await expect(page.getByRole('table', { name: /^Values of/ })).toBeVisible()
    await expectAccessible(page)
  })
}

test('the theme that was chosen outlives the page', async ({ console: page }) => {
  await page.getByRole('button', { name: /^Account of/ }).click()
  await page.getByText('Dark', { exact: true }).click()
  const root = page.locator('html')
  await expect(root).toHaveAttribute('data-mantine-color-scheme', 'dark')
  await page.reload()
  await expect(root).toHaveAttribute('data-mantine-color-scheme', 'dark')
})

test('a phone shows every page without scrolling sideways', async ({ console: page }) => {
  await page.setViewportSize({ width: 390, height: 844 })
  for (const path of PAGES) {
    await settle(page, path)
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    expect(overflow, path).toBeLessThanOrEqual(0)
  }
  await settle(page, '/')
  await page.getByRole('button', { name: 'More' }).click()
  await page.getByRole('dialog', { name: 'More' }).getByRole('link', { name: 'Tiers' }).click()
  await expect(page).toHaveURL(/\/tiers/)
  await expect(page.getByRole('dialog', { name: 'More' })).toBeHidden()
  await page.getByRole('link', { name: 'Targets', exact: true }).click()
  await expect(page).toHaveURL(/\/targets/)
})

test('the keyboard goes everywhere', async ({ console: page }) => {
  await page.keyboard.press('g')
  await page.keyboard.press('a')
  await expect(page).toHaveURL(/\/agents/)
  await page.keyboard.press('?')
  const help = page.getByRole('dialog', { name: 'Keyboard' })
  await expect(help).toContainText('search targets')
  await page.keyboard.press('Escape')
  await expect(help).toBeHidden()
  await page.keyboard.press('/')
  await expect(page.getByLabel('Search targets')).toBeFocused()
})

test('an address without a page keeps the navigation, and the overview has a name', async ({
  console: page,
}) => {
  await page.goto('/nowhere/at-all')
  await expect(page.getByRole('heading', { level: 1, name: 'No such page' })).toBeVisible()
  await page.getByRole('link', { name: 'Targets', exact: true }).click()
  await expect(page).toHaveURL(/\/targets$/)
  await page.goto('/nowhere')
  await page.getByRole('link', { name: 'Go to the overview' }).click()
  await expect(page).toHaveURL(/\/$/)
  await page.goto('/overview')
  await expect(page).toHaveURL(/\/$/)
  await expect(page.getByRole('heading', { level: 1 })).toContainText(/target|watched/)
})

test('times name their zone, and the zone can be switched', async ({ console: page }) => {
  const clock = page.getByRole('button', { name: /UTC/ }).first()
  await expect(clock).toContainText(/\d\d:\d\d:\d\d\s*UTC$/)
  await clock.click()
  await expect(clock).toContainText(/UTC\+[12]$/)
  await clock.click()
})

test('what cannot be read anew is said to be old', async ({ console: page }) => {
  await page.goto('/health')
  await expect(page.getByRole('heading', { level: 1 })).toBeVisible()
  const refusal = { type: 'about:blank', title: 'Busy', status: 503, detail: 'the disk is full' }
  await page.route('**/api/v1/health', (route) =>
    route.fulfill({ status: 503, contentType: 'application/problem+json', json: refusal }),
  )
  const banner = page.getByRole('alert').filter({ hasText: 'Partly old' })
  await expect(banner).toContainText('the disk is full')
  await page.unroute('**/api/v1/health')
  await banner.getByRole('button', { name: 'Try now' }).click()
  await expect(banner).toBeHidden()
})

test('a command that is refused says so beside the page', async ({ console: page }) => {
  await settle(page, '/targets')
  const refusal = { type: 'about:blank', title: 'Full', status: 503, detail: 'the disk is full' }
  await page.route('**/api/v1/targets/*', (route) =>
    route.fulfill({ status: 503, contentType: 'application/problem+json', json: refusal }),
  )
  await page
    .getByRole('button', { name: /^Actions on/ })
    .first()
    .click()
  await page.getByRole('menuitem', { name: 'Pause' }).click()
  const notice = page.getByRole('alert').filter({ hasText: 'Not done' })
  await expect(notice).toContainText('the disk is full')
  await notice.getByRole('button', { name: 'Dismiss' }).click()
  await expect(notice).toBeHidden()
})

test('a page that hears nothing looks stale', async ({ page, console: signedIn }) => {
  // As on a browser without shared workers: the page asks by itself, and can be kept from it.
  await page.addInitScript(() => {
    Reflect.deleteProperty(window, 'SharedWorker')
  })
  await page.route('**/api/v1/live', (route) => route.abort())
  await signedIn.reload()
  const banner = page.getByRole('alert').filter({ hasText: 'Not live' })
  await expect(banner).toBeVisible({ timeout: 30_000 })
  await page.unroute('**/api/v1/live')
  await expect(banner).toBeHidden({ timeout: 30_000 })
})
