/**
 * The network on a map: sites where they are, a table that says the same, the past, and a network
 * as large as any.
 */

import AxeBuilder from '@axe-core/playwright'
import type { Page } from '@playwright/test'

import { RUN, expect, test } from './console'

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']
const SITES = [
  { id: `ams-${RUN}`, latitude: 52.37, longitude: 4.9 },
  { id: `fra-${RUN}`, latitude: 50.11, longitude: 8.68 },
  { id: `vie-${RUN}`, latitude: 48.21, longitude: 16.37 },
  { id: `nowhere-${RUN}` },
]

async function describeNetwork(page: Page): Promise<void> {
  const link = (a: number, b: number, end: string) => ({
    id: `${SITES[a]?.id}--${SITES[b]?.id}${end}`,
    kind: 'link',
    ends: [`r-${SITES[a]?.id}`, `r-${SITES[b]?.id}`],
  })
  const elements = [
    ...SITES.map((site) => ({ kind: 'site', ...site })),
    ...SITES.map(({ id }) => ({ id: `r-${id}`, kind: 'device', role: 'core', site: id })),
    link(0, 1, ''),
    link(0, 1, '-2'),
    link(1, 2, ''),
    link(2, 3, ''),
  ]
  await page.evaluate(
    async (body) => {
      const session = (await (await fetch('/api/v1/session')).json()) as { csrf_token: string }
      const answer = await fetch('/api/v1/topology/import', {
        method: 'POST',
        headers: { 'x-csrf-token': session.csrf_token, 'content-type': 'application/json' },
        body,
      })
      if (!answer.ok) throw new Error(await answer.text())
    },
    JSON.stringify({ elements, targets: [] }),
  )
}

async function expectAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze()
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ''}`)).toEqual([])
}

test('the map says what its table says, and is used without a mouse', async ({
  console: page,
}) => {
  await describeNetwork(page)
  const outside: string[] = []
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(page.url()).origin) outside.push(request.url())
  })
  await page.goto('/map')
  const map = page.getByRole('application', { name: /^Map\. .*sites/ })
  await expect(map).toBeVisible()
  await map.focus()
  await page.keyboard.press('n')
  const panel = page.getByRole('complementary', { name: /^About/ })
  await expect(panel.getByRole('heading', { level: 2 })).toBeVisible()
  await expect(page).toHaveURL(/site=/)
  await page.keyboard.press('Escape')
  await expect(panel).toBeHidden()
  for (const key of ['+', '-', 'ArrowLeft', 'ArrowUp', '0']) await page.keyboard.press(key)

  await page.getByText('Table', { exact: true }).click()
  const table = page.getByRole('table', { name: 'Sites' })
  const row = table.getByRole('row').filter({ hasText: `ams-${RUN}` })
  await expect(row).toContainText('Unknown')
  await expect(row).toContainText('nothing that is watched is at it or behind it')
  await table.getByRole('button', { name: 'Site', exact: true }).click()
  await expect(table.getByRole('columnheader', { name: 'Site' })).toHaveAttribute(
    'aria-sort',
    'ascending',
  )
  await row.getByRole('button', { name: `ams-${RUN}` }).click()
  await expect(panel).toContainText(`r-ams-${RUN}`)
  await expect(panel).toContainText(`ams-${RUN}--fra-${RUN}-2`)

  await page.getByText('Table', { exact: true }).click()
  await page.getByText(/^Links \d/).click()
  const links = page.getByRole('table', { name: 'Links' })
  await expect(
    links.getByRole('row').filter({ hasText: `ams-${RUN}--fra-${RUN}-2` }),
  ).toContainText('no watched target is behind it')

  // A filter shows less of both.
  await page.goto('/map?view=table&tag=nobody-has-it')
  await expect(page.getByText('Nothing is found')).toBeVisible()
  expect(outside).toEqual([])
})

test('the map goes back in time, and says so', async ({ console: page }) => {
  await page.goto('/map')
  const slider = page.getByRole('slider', { name: 'Moment of the last 24 hours' })
  await expect(slider).toHaveAttribute('aria-valuetext', 'Now')
  await slider.focus()
  await page.keyboard.press('Home')
  await expect(page).toHaveURL(/at=20/)
  await expect(page.getByRole('region', { name: 'Time' })).toContainText('ago')
  await expect(page.getByRole('heading', { level: 1 })).toContainText('unknown')
  await page.getByRole('button', { name: 'Back to now' }).click()
  await expect(slider).toHaveAttribute('aria-valuetext', 'Now')
  await page.getByRole('button', { name: 'Play' }).click()
  await expect(page.getByRole('button', { name: 'Pause' })).toBeVisible()
  await page.getByRole('button', { name: 'Pause' }).click()
  await page.goto('/map?at=2020-01-01T00:00:00Z')
  await expect(page.getByText(/more than 7 days ago/)).toBeVisible()
})

for (const scheme of ['light', 'dark'] as const) {
  test(`the map is accessible and fits a phone in the ${scheme}`, async ({ console: page }) => {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' })
    for (const width of [1440, 390]) {
      await page.setViewportSize({ width, height: 844 })
      for (const path of [
        `/map?site=ams-${RUN}`,
        '/map?view=table',
        '/map?view=table&of=links',
      ]) {
        await page.goto(path)
        await expect(page.getByRole('heading', { level: 1 })).toContainText('site')
        await expectAccessible(page)
        const overflow = await page.evaluate(
          () => document.documentElement.scrollWidth - innerWidth,
        )
        expect(overflow, path).toBeLessThanOrEqual(0)
      }
    }
  })
}

/** Sites and links of the largest network that the map is made for. */
const LARGE = { sites: 2_000, links: 5_000, changesPerSecond: 100 }
/** A longer task is felt as a stutter. */
const TASK_MS_MAX = 50
/** How long it is watched. */
const WATCHED_MS = 8_000

test('a network of 2,000 sites and 5,000 links that changes all the time stays smooth', async ({
  page,
  console: signedIn,
}) => {
  test.skip(
    process.env['FAULTLINE_E2E_SPEED'] === undefined,
    'times mean something on a quiet machine alone: set FAULTLINE_E2E_SPEED to measure them',
  )
  let version = 1
  // One of forty is not well at a time; who it is changes.
  const stateOf = (at: number, turn: number) =>
    at % 40 === turn % 40 ? (['down', 'degraded', 'unknown'] as const)[at % 3] : 'up'
  // A field of sites; each is linked to some that are near, as fibre is.
  const COLUMNS = 50
  const site = (at: number, turn: number) => ({
    id: `s${at}`,
    kind: 'site',
    latitude: 40 + Math.floor(at / COLUMNS) * 0.4 + ((at * 7919) % 31) / 100,
    longitude: -4 + (at % COLUMNS) * 0.5 + ((at * 104_729) % 43) / 100,
    state: stateOf(at, turn),
    why: '3 of 12 targets down',
    targets: { up: 9, degraded: 0, down: 3, unknown: 0, paused: 0 },
  })
  const NEAR = [1, COLUMNS, COLUMNS + 1, 2]
  const link = (at: number, turn: number) => ({
    id: `l${at}`,
    kind: 'link',
    from: `r${at % LARGE.sites}`,
    to: `r${(at + (NEAR[Math.floor(at / LARGE.sites)] ?? 1)) % LARGE.sites}`,
    state: stateOf(at, turn),
    why: 'answers of 12 targets pass over it',
  })
  const all = <T>(length: number, make: (at: number) => T) =>
    Array.from({ length }, (_, at) => make(at))
  await page.addInitScript(() => {
    // As on a browser without shared workers, with events as fast as a bad day has them.
    Reflect.deleteProperty(window, 'SharedWorker')
    class Events extends EventTarget {
      static CLOSED = 2
      readyState = 1
      onopen: (() => void) | null = null
      constructor() {
        super()
        setTimeout(() => this.onopen?.(), 0)
        setInterval(() => {
          const at = new Date().toISOString()
          const data = { position: 1, target: 1, probe: 1, agent: 1, from: 'up', to: 'down', at }
          this.dispatchEvent(new MessageEvent('verdict', { data: JSON.stringify(data) }))
        }, 10)
      }
      close() {
        this.readyState = 2
      }
    }
    Object.assign(window, { EventSource: Events })
  })
  await page.route('**/api/v1/map*', async (route) => {
    const isWhole = !route.request().url().includes('after=')
    version += 1
    const begun = (version * 37) % LARGE.sites
    const some = <T>(make: (at: number) => T) =>
      all(LARGE.changesPerSecond / 2, (at) => make((begun + at * 13) % LARGE.sites))
    await route.fulfill({
      json: {
        version: String(version),
        is_whole: isWhole,
        at: new Date().toISOString(),
        is_past: false,
        is_unrecorded: false,
        topology_version: 1,
        targets_outside: 0,
        incidents: [],
        sites: isWhole ? all(LARGE.sites, (at) => site(at, 0)) : some((at) => site(at, version)),
        devices: isWhole
          ? all(LARGE.sites, (at) => ({
              ...site(at, 0),
              id: `r${at}`,
              kind: 'device',
              site: `s${at}`,
            }))
          : [],
        links: isWhole ? all(LARGE.links, (at) => link(at, 0)) : some((at) => link(at, version)),
      },
    })
  })
  await signedIn.goto('/map')
  const map = page.getByRole('application', { name: /2000 sites/ })
  await expect(map).toBeVisible()
  // It is fetched anew with the events before it is watched.
  await expect.poll(() => version, { timeout: 15_000 }).toBeGreaterThan(4)
  const longest = page.evaluate(
    (watched) =>
      new Promise<number[]>((resolve) => {
        const tasks: number[] = []
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) tasks.push(Math.round(entry.duration))
        }).observe({ type: 'longtask' })
        setTimeout(() => {
          resolve(tasks)
        }, watched)
      }),
    WATCHED_MS,
  )
  const before = version
  // Meanwhile somebody looks around.
  const box = await map.boundingBox()
  const [x, y] = [(box?.x ?? 0) + 400, (box?.y ?? 0) + 250]
  await page.mouse.move(x, y)
  for (let turn = 0; turn < 12; turn += 1) await page.mouse.wheel(0, turn < 6 ? -100 : 100)
  await page.mouse.down()
  for (let turn = 0; turn < 20; turn += 1) await page.mouse.move(x + turn * 8, y + turn * 3)
  await page.mouse.up()
  const tasks = await longest
  expect(version, 'it went on changing').toBeGreaterThan(before)
  expect(tasks.filter((ms) => ms > TASK_MS_MAX)).toEqual([])
})
