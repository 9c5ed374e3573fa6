/**
 * The history of a target: moved and stretched by pointer and by key, shared by its address, laid
 * over its past, read as a table and taken away as CSV.
 */

import type { Page } from '@playwright/test'

import { RUN, expect, signIn, test } from './console'

const TARGET = `history-${RUN}`

test.describe.configure({ mode: 'serial' })

test.beforeAll(async ({ browser }) => {
  const page = await browser.newPage()
  await signIn(page)
  await page.goto('/targets?dialog=add')
  const dialog = page.getByRole('dialog', { name: 'Add target' })
  await dialog.getByLabel('Address').fill('127.0.0.1')
  await dialog.getByLabel('Name').fill(TARGET)
  await dialog.getByRole('button', { name: 'Add target' }).click()
  await expect(dialog).toBeHidden()
  await page.close()
})

/** The shown span in minutes, as the address says it. */
function spanMin(page: Page): number {
  const query = new URL(page.url()).searchParams
  const [from, to] = ['from', 'to'].map((end) => Date.parse(query.get(end) ?? ''))
  return ((to ?? 0) - (from ?? 0)) / 60_000
}

async function open(page: Page, query = ''): Promise<void> {
  await page.goto('/targets')
  await page.getByLabel('Search targets').fill(TARGET)
  const href = await page.getByRole('link', { name: TARGET }).getAttribute('href')
  await page.goto(`${href ?? ''}${query}`)
  await expect(moment(page)).toBeVisible()
}

const moment = (page: Page) => page.getByRole('slider', { name: 'Moment' })
const title = (page: Page, text: string | RegExp) =>
  page.getByRole('heading', { level: 2, name: text })

async function box(page: Page) {
  const found = await moment(page).boundingBox()
  if (found === null) throw new Error('no chart')
  return found
}

test('every span is one press away, and says how long its columns are', async ({
  console: page,
}) => {
  await open(page)
  const spans: [string, string, string][] = [
    ['6h', 'Last 6 hours', 'each column 1 min'],
    ['24h', 'Last 24 hours', 'each column 3 min'],
    ['7d', 'Last 7 days', 'each column 20 min'],
    ['30d', 'Last 30 days', 'each column 2 h'],
    ['90d', 'Last 90 days', 'each column 6 h'],
  ]
  for (const [label, words, column] of spans) {
    await page.getByText(label, { exact: true }).click()
    await expect(title(page, words)).toBeVisible()
    await expect(page.getByText(column)).toBeVisible()
    await expect(page).toHaveURL(new RegExp(`range=${label}`))
  }
  await moment(page).focus()
  await page.keyboard.press('Home')
  await expect(moment(page)).toHaveAttribute('aria-valuetext', /Consensus Unknown: no round yet/)
})

test('each row of the list shows its last hour, and rows are asked for together', async ({
  console: page,
}) => {
  const asked: string[] = []
  page.on('request', (request) => {
    if (request.url().includes('/history?targets=')) asked.push(request.url())
  })
  await page.goto('/targets')
  const rows = page
    .getByRole('grid', { name: 'Targets' })
    .getByRole('img', { name: /^Last hour/ })
  await expect(rows.first()).toBeVisible()
  const shown = await rows.count()
  expect(shown).toBeGreaterThan(0)
  expect(asked.length).toBeLessThanOrEqual(Math.ceil(shown / 25) + 1)
})

test('a stretch is chosen by dragging, and Back and a double click undo it', async ({
  console: page,
}) => {
  await open(page, '?range=6h')
  const { x, y, width, height } = await box(page)
  const middle = y + height / 2
  await page.mouse.move(x + width * 0.25, middle)
  await page.mouse.down()
  await page.mouse.move(x + width * 0.5, middle, { steps: 4 })
  await page.mouse.up()
  await expect(page).toHaveURL(/from=.*to=/)
  expect(spanMin(page)).toBeGreaterThan(85)
  expect(spanMin(page)).toBeLessThan(95)
  const shared = page.url()

  await page.keyboard.down('Shift')
  await page.mouse.move(x + width * 0.5, middle)
  await page.mouse.down()
  await page.mouse.move(x + width * 0.75, middle, { steps: 4 })
  await page.mouse.up()
  await page.keyboard.up('Shift')
  await expect(page).not.toHaveURL(shared)
  expect(spanMin(page)).toBe(
    new URL(shared).searchParams.size > 0 ? spanMinOf(shared) : Number.NaN,
  )

  await page.goBack()
  await expect(page).toHaveURL(shared)
  await page.mouse.dblclick(x + width / 2, middle)
  await expect(title(page, 'Last 6 hours')).toBeVisible()
})

function spanMinOf(url: string): number {
  const query = new URL(url).searchParams
  return (Date.parse(query.get('to') ?? '') - Date.parse(query.get('from') ?? '')) / 60_000
}

test('wheel, buttons and keys stretch and move', async ({ console: page }) => {
  await open(page, '?range=24h')
  const { x, y, width, height } = await box(page)
  await page.mouse.move(x + width / 2, y + height / 2)
  await page.keyboard.down('Control')
  await page.mouse.wheel(0, -300)
  await page.keyboard.up('Control')
  await expect(page).toHaveURL(/from=/)
  const first = spanMin(page)
  expect(first).toBeLessThan(1_000)

  await page.getByRole('button', { name: 'Wider' }).click()
  await expect.poll(() => spanMin(page)).toBeCloseTo(first * 2, -1)
  await moment(page).focus()
  await page.keyboard.press('+')
  await expect.poll(() => spanMin(page)).toBeCloseTo(first, -1)
  const before = page.url()
  await page.keyboard.press('PageUp')
  await expect(page).not.toHaveURL(before)
  await page.keyboard.press('0')
  await expect(title(page, 'Last 24 hours')).toBeVisible()
})

test('an address shows the same to someone else', async ({ console: page, browser }) => {
  await open(page, '?range=6h&lines=all&vs=day')
  await expect(page.getByRole('button', { name: 'Consensus', pressed: true })).toBeVisible()
  await page.getByRole('button', { name: 'Earlier' }).click()
  await expect(page).toHaveURL(/from=.*lines=all.*vs=day|lines=all.*vs=day.*from=/)
  const heading = await page.getByRole('heading', { level: 2 }).first().innerText()

  const context = await browser.newContext()
  const other = await context.newPage()
  await signIn(other)
  await other.goto(page.url())
  await expect(other.getByRole('heading', { level: 2, name: heading })).toBeVisible()
  await expect(other.getByLabel('Compare with')).toHaveValue('day')
  await expect(other.getByRole('button', { name: 'Consensus', pressed: true })).toBeVisible()
  await context.close()
})

test('two spans are laid over each other, with what was and what is', async ({
  console: page,
}) => {
  await open(page)
  await page.getByLabel('Compare with').selectOption('week')
  await expect(page).toHaveURL(/vs=week/)
  const table = page.getByRole('table', { name: /The whole span, and a week before/ })
  await expect(table.getByRole('row', { name: /^Consensus/ })).toContainText('was')
})

test('the drawings are a table as well, and CSV is what is seen', async ({ console: page }) => {
  await open(page, '?range=6h')
  await page.getByRole('button', { name: 'Table', exact: true }).click()
  const values = page.getByRole('table', { name: /^Values of/ })
  await expect(values.getByRole('row')).toHaveCount(61)
  await page.getByLabel('Values of', { exact: true }).selectOption('all')
  await expect(page.getByRole('table', { name: 'Values of Consensus' })).toBeVisible()
  await page.getByRole('button', { name: 'Older' }).click()
  await expect(page.getByText('page 2 of')).toBeVisible()

  const download = page.waitForEvent('download')
  await page.getByRole('link', { name: 'CSV' }).click()
  const file = await download
  expect(file.suggestedFilename()).toBe(`${TARGET}-history.csv`)
  const stream = await file.createReadStream()
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  const [head, ...lines] = Buffer.concat(chunks).toString().trim().split('\n')
  expect(head).toMatch(/^target_id,target,agent_id,agent,minute,verdict,cause/)
  // Every minute of all together, and of each agent.
  const isOfAll = (line: string) => line.split(',')[2] === ''
  expect(lines.filter(isOfAll).length).toBe(360)
  expect(lines.length % 360).toBe(0)
})

test('a finger moves the chart, two stretch it, a tap reads it', async ({ browser }) => {
  const context = await browser.newContext({
    viewport: { width: 390, height: 844 },
    hasTouch: true,
  })
  const page = await context.newPage()
  await signIn(page)
  await open(page, '?range=24h')
  await moment(page).scrollIntoViewIfNeeded()
  const { x, y, width } = await box(page)
  await page.touchscreen.tap(x + width / 2, y + 100)
  await expect(page.getByRole('button', { name: 'Look closer' })).toBeVisible()

  const client = await context.newCDPSession(page)
  const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', xs: number[]) =>
    client.send('Input.dispatchTouchEvent', {
      type,
      touchPoints: xs.map((at, id) => ({ x: at, y: y + 150, id })),
    })
  await touch('touchStart', [x + 100])
  await touch('touchMove', [x + 140])
  await touch('touchMove', [x + 200])
  await touch('touchEnd', [])
  await expect(page).toHaveURL(/from=/)
  expect(spanMin(page)).toBe(1_440)

  await touch('touchStart', [x + 100])
  await touch('touchStart', [x + 100, x + 160])
  await touch('touchMove', [x + 60, x + 200])
  await touch('touchMove', [x + 40, x + 220])
  await touch('touchEnd', [])
  await expect.poll(() => spanMin(page)).toBeLessThan(700)
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
  expect(overflow).toBeLessThanOrEqual(0)
  await context.close()
})
