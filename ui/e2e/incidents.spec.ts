/**
 * A real incident: an address in a network of its own stops answering, its cause is named, people
 * work on it, and it is over when it answers again.
 */

import { execFileSync } from 'node:child_process'

import AxeBuilder from '@axe-core/playwright'
import type { Page } from '@playwright/test'

import { RUN, expect, test } from './console'

/** At most 15 letters are the name of a device. */
const NAMESPACE = `fle2e${RUN.slice(-6)}`
const NEAR = `${NAMESPACE}n`
/** Addresses that nobody else has: of this run, in a range for benchmarks (RFC 2544). */
const NET = `198.18.${Math.floor(Math.random() * 250)}`
/** A verdict needs some rounds, 5 s apart, and an agent that has just heard of the target. */
const UP_WITHIN_MS = 90_000
/** So soon an incident is told, and over. */
const TOLD_WITHIN_MS = 60_000
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']

const EDGE = `edge-${RUN}`
/** Last numbers of the addresses behind the link. */
const BEHIND = [3, 4, 5, 6, 7, 8, 9, 10]
const FAR = BEHIND.map((host) => `far${host}-${RUN}`)

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: 'pipe' })
}

test.describe.configure({ mode: 'serial' })

test.beforeAll(() => {
  ip('netns', 'add', NAMESPACE)
  ip('link', 'add', NEAR, 'type', 'veth', 'peer', 'name', 'far', 'netns', NAMESPACE)
  ip('address', 'add', `${NET}.1/24`, 'dev', NEAR)
  ip('link', 'set', NEAR, 'up')
  ip('-n', NAMESPACE, 'link', 'set', 'far', 'up')
  ip('-n', NAMESPACE, 'address', 'add', `${NET}.2/24`, 'dev', 'far')
  heal()
  // Without this nobody would say who has an address that is gone, and nothing would be sent.
  const told = execFileSync('ip', ['-n', NAMESPACE, 'link', 'show', 'far']).toString()
  const mac = /link\/ether ([0-9a-f:]+)/.exec(told)?.[1] ?? ''
  for (const host of BEHIND) {
    const to = ['lladdr', mac, 'dev', NEAR, 'nud', 'permanent']
    ip('neighbour', 'replace', `${NET}.${host}`, ...to)
  }
})

test.afterAll(() => {
  ip('netns', 'delete', NAMESPACE)
})

/** Those behind the link are silent: packets still come, and nobody is there. */
function cut(): void {
  for (const host of BEHIND) {
    ip('-n', NAMESPACE, 'address', 'delete', `${NET}.${host}/24`, 'dev', 'far')
  }
}

function heal(): void {
  for (const host of BEHIND) {
    ip('-n', NAMESPACE, 'address', 'add', `${NET}.${host}/24`, 'dev', 'far')
  }
}

interface Call {
  method: string
  path: string
  body?: unknown
}

/** What the page itself may do, with its session. */
async function call(page: Page, { method, path, body }: Call): Promise<unknown> {
  return page.evaluate(
    async ([method, path, body]) => {
      const session = (await (await fetch('/api/v1/session')).json()) as { csrf_token: string }
      const answer = await fetch(`/api/v1${path}`, {
        method,
        headers: { 'x-csrf-token': session.csrf_token, 'content-type': 'application/json' },
        ...(body !== '' && { body }),
      })
      const text = await answer.text()
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
      return text === '' ? null : (JSON.parse(text) as unknown)
    },
    [method, path, body === undefined ? '' : JSON.stringify(body)] as const,
  )
}

interface Names {
  items: { id: number; name: string; state?: string }[]
}

/** The agent stands at the edge; the first of the others is one link further, and carries them. */
async function describeNetwork(page: Page): Promise<void> {
  const { items: agents } = (await call(page, { method: 'GET', path: '/agents' })) as Names
  const agent = agents.find(({ state }) => state === 'online')
  const { items: tiers } = (await call(page, { method: 'GET', path: '/tiers' })) as Names
  const fast = tiers.find(({ name }) => name === 'fast') ?? tiers[0]
  const names = [EDGE, ...FAR]
  for (const [at, name] of names.entries()) {
    const body = { name, address: `${NET}.${at + 2}`, tier_id: fast?.id }
    await call(page, { method: 'POST', path: '/targets', body })
  }
  const link = `${EDGE}--far`
  const body = {
    elements: [
      { id: `d-${EDGE}`, kind: 'device' },
      ...FAR.map((name) => ({ id: `d-${name}`, kind: 'device' })),
      { id: link, kind: 'link', ends: [`d-${EDGE}`, `d-${FAR[0]}`] },
      ...FAR.slice(1).map((name) => ({
        id: `${FAR[0]}--${name}`,
        kind: 'link',
        ends: [`d-${FAR[0]}`, `d-${name}`],
      })),
      { id: `a-${RUN}`, kind: 'agent', device: `d-${EDGE}`, name: agent?.name },
    ],
    targets: names.map((name) => ({ id: name, device: `d-${name}`, weight: 10 })),
  }
  await call(page, { method: 'POST', path: '/topology/import', body })
}

test('what fails becomes one incident with its cause, and people work on it', async ({
  console: page,
}) => {
  test.setTimeout(UP_WITHIN_MS + TOLD_WITHIN_MS * 2)
  await describeNetwork(page)
  // By address: other tests of this run have targets of its name.
  await page.goto(`/targets?q=${NET}.&verdict=up`)
  await expect(page.getByText(`${FAR.length + 1} targets`)).toBeVisible({ timeout: UP_WITHIN_MS })
  // Some rounds more, so that their loss says something.
  await expect(async () => {
    const path = '/diagnosis'
    const told = (await call(page, { method: 'GET', path })) as { rounds: number }
    expect(told.rounds).toBeGreaterThan(54)
  }).toPass({ timeout: UP_WITHIN_MS })
  cut()

  await page.goto('/incidents')
  const row = page.getByRole('row').filter({ hasText: `${EDGE}--far` })
  await expect(row).toContainText(`${FAR.length} targets down`, { timeout: TOLD_WITHIN_MS })
  const pages = page.getByRole('navigation', { name: 'Pages' }).first()
  await expect(pages.getByRole('link', { name: /Incidents.*open/ })).toBeVisible()

  // By the keyboard alone: to the row, acknowledge, open.
  await page.keyboard.press('j')
  await expect(row).toBeFocused()
  await page.keyboard.press('a')
  await expect(row).toContainText('Acknowledged')
  await page.keyboard.press('Enter')
  const head = page.getByRole('heading', { level: 1 })
  await expect(head).toContainText(`${EDGE}--far`)

  await expect(page.getByText(`Hits ${FAR.length} targets down`)).toBeVisible()
  await expect(page.getByRole('list', { name: 'How likely each cause is' })).toContainText('%')
  await expect(page.getByRole('heading', { name: 'What speaks for it' })).toBeVisible()
  const timeline = page.getByRole('list', { name: 'Timeline' })
  await expect(timeline).toContainText('First symptom')
  await expect(timeline).toContainText(/acknowledged it/)

  await page.getByRole('button', { name: 'Assign' }).click()
  await page.getByRole('button', { name: 'Take it myself' }).click()
  await expect(timeline).toContainText(/assigned it to/)
  await page.getByLabel('Comment').fill('a digger, <b>the crew</b> is on its way')
  await page.getByRole('button', { name: 'Comment' }).click()
  await expect(timeline).toContainText('a digger, <b>the crew</b> is on its way')

  // The evidence leads to the history it was read from.
  await page.getByRole('link', { name: FAR[0] }).first().click()
  await expect(head).toHaveText(FAR[0] ?? '')
  await page.goBack()
  await expect(head).toContainText(`${EDGE}--far`)
})

test('an incident is accessible, light and dark, and on a phone', async ({ console: page }) => {
  await page.goto('/incidents')
  await page
    .getByRole('row')
    .filter({ hasText: `${EDGE}--far` })
    .getByRole('link')
    .click()
  await expect(page.getByRole('list', { name: 'Timeline' })).toBeVisible()
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze()
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ''}`)).toEqual([])
  }
  await page.setViewportSize({ width: 390, height: 844 })
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
  expect(overflow).toBeLessThanOrEqual(0)
})

test('it is over when all answer, and is closed with what it was', async ({ console: page }) => {
  test.setTimeout(UP_WITHIN_MS * 4)
  heal()
  await page.goto(`/incidents?show=over&q=${RUN}`)
  const row = page.getByRole('row').filter({ hasText: `${EDGE}--far` })
  await expect(row).toContainText('Resolved', { timeout: UP_WITHIN_MS * 3 })
  await row.getByRole('link').click()
  await expect(page.getByRole('list', { name: 'Timeline' })).toContainText('All clear')
  await page.getByRole('button', { name: 'Close' }).click()
  const dialog = page.getByRole('dialog', { name: /^Close/ })
  await dialog.getByLabel('What it was').click()
  await page.getByRole('option', { name: /^Line/ }).click()
  await dialog.getByLabel('Note').fill('spliced')
  await dialog.getByRole('button', { name: 'Close incident' }).click()
  await expect(page.getByRole('list', { name: 'Timeline' })).toContainText('line: spliced')

  await page.getByRole('button', { name: /^More of/ }).click()
  const saved = page.waitForEvent('download')
  await page.getByRole('menuitem', { name: 'Post-mortem as Markdown' }).click()
  expect((await saved).suggestedFilename()).toMatch(/^incident-\d+\.md$/)
})
