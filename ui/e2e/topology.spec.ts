/** The network is described by a file, checked before it counts, searched and asked. */

import AxeBuilder from '@axe-core/playwright'
import type { Page } from '@playwright/test'

import { RUN, expect, test } from './console'

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']
const [HUB, LEAF, LINK] = [`hub-${RUN}`, `leaf-${RUN}`, `line-${RUN}`]
const CSV = [
  'kind,id,role,device,end_a,end_b,customers',
  `device,${HUB},core,,,,`,
  `device,${LEAF},access,,,,120`,
  `link,${LINK},physical,,${HUB},${LEAF},`,
  `target,nobody-${RUN},,${LEAF},,,`,
].join('\n')

async function expectAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze()
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ''}`)).toEqual([])
}

test('a file is checked, applied, and found again', async ({ console: page }) => {
  await page.goto('/topology?dialog=import')
  const dialog = page.getByRole('dialog', { name: 'Import the topology' })
  const text = dialog.getByLabel('Topology to import')
  await text.fill(CSV.replace(`${HUB},${LEAF},`, `${HUB},missing-${RUN},`))
  await dialog.getByRole('button', { name: 'Check' }).click()
  await expect(dialog.getByRole('list', { name: 'Problems' })).toContainText(`missing-${RUN}`)
  await expect(dialog.getByRole('button', { name: /^Apply/ })).toHaveCount(0)

  await text.fill(CSV)
  await dialog.getByRole('button', { name: 'Check' }).click()
  await expect(dialog.getByRole('status')).toContainText('4 to add')
  await expect(dialog.getByRole('list', { name: 'Warnings' })).toContainText(`nobody-${RUN}`)
  await expectAccessible(page)
  await dialog.getByRole('button', { name: 'Apply 4 changes' }).click()
  await expect(dialog.getByRole('status')).toContainText('4 added')
  await dialog.getByRole('button', { name: 'Show the topology' }).click()
  await expect(dialog).toBeHidden()

  await page.getByLabel('Search the topology').fill(LEAF)
  const table = page.getByRole('table', { name: 'Devices' })
  await expect(table.getByRole('row')).toHaveCount(2)
  await table.getByRole('button', { name: LEAF, exact: true }).click()
  const about = page.getByRole('dialog', { name: LEAF })
  await expect(about).toContainText(LINK)
  await expect(about).toContainText('120 customers')
  await about.getByRole('button', { name: 'What if it fails' }).click()
  await expect(page.getByRole('dialog', { name: /^What if/ })).toContainText(LEAF)
  await page.keyboard.press('Escape')

  await page.getByText('Links', { exact: true }).click()
  await page.getByLabel('Search the topology').fill(LINK)
  await page.getByRole('button', { name: `What if ${LINK} fails` }).click()
  const loss = page.getByRole('dialog', { name: `What if ${LINK} fails` })
  await expect(loss).toContainText('not at capacity')
  await page.keyboard.press('Escape')

  await page.getByLabel('Search the topology').fill('')
  await page.getByText('Single points', { exact: true }).click()
  await expect(
    page
      .getByRole('table', { name: 'Single points of failure' })
      .or(page.getByText('There is no single point of failure')),
  ).toBeVisible()

  await page.getByRole('button', { name: 'Export' }).click()
  const saved = page.waitForEvent('download')
  await page.getByRole('menuitem', { name: 'CSV' }).click()
  expect((await saved).suggestedFilename()).toBe('topology.csv')
})

for (const scheme of ['light', 'dark'] as const) {
  test(`the topology is accessible and fits a phone in the ${scheme}`, async ({
    console: page,
  }) => {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' })
    for (const width of [1440, 390]) {
      await page.setViewportSize({ width, height: 844 })
      await page.goto(`/topology?kind=link&q=${LINK}`)
      await expect(page.getByRole('table', { name: 'Links' })).toContainText(LINK)
      await expectAccessible(page)
      const overflow = await page.evaluate(
        () => document.documentElement.scrollWidth - innerWidth,
      )
      expect(overflow).toBeLessThanOrEqual(0)
    }
  })
}

test('a wall is read from across the room, and looks old when it is', async ({
  page,
  console: signedIn,
}) => {
  // As on a browser without shared workers: the page asks by itself, and can be kept from it.
  await page.addInitScript(() => {
    Reflect.deleteProperty(window, 'SharedWorker')
  })
  await page.setViewportSize({ width: 1920, height: 1080 })
  await signedIn.goto('/wall')
  await expect(page.getByRole('img', { name: /^Map\./ })).toBeVisible()
  await expect(page.getByRole('status')).toContainText('Live')
  const smallest = await page.evaluate(() => {
    const texts = Array.from(document.querySelectorAll('main *')).filter((element) =>
      Array.from(element.childNodes).some(
        (node) => node.nodeType === 3 && node.textContent?.trim(),
      ),
    )
    return Math.min(...texts.map((element) => parseFloat(getComputedStyle(element).fontSize)))
  })
  expect(smallest).toBeGreaterThanOrEqual(1080 * 0.015)
  await expectAccessible(page)
  // From now on nothing is answered, as behind a switch that died.
  await page.route('**/api/v1/**', (route) => route.abort())
  await expect(page.getByRole('alert')).toContainText('what is shown is of', { timeout: 60_000 })
  await page.setViewportSize({ width: 390, height: 844 })
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
  expect(overflow).toBeLessThanOrEqual(0)
})
