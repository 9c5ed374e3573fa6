/**
 * A person's first hour: sign in, watch an address, see its truth, bring the rest, call for help.
 */

import { RUN, USER, expect, signIn, test } from './console'

const TIER = `quick-${RUN}`
const TARGET = `loopback-${RUN}`

/** A verdict needs some rounds, 5 s apart, and an agent that has just heard of the target. */
const VERDICT_WITHIN_MS = 90_000

test.describe.configure({ mode: 'serial' })

test('a wrong password is refused in words, the right one opens the overview', async ({
  page,
}) => {
  await page.goto('/')
  await expect(page).toHaveURL(/\/sign-in/)
  await page.getByLabel('User name').fill(USER)
  await page.getByLabel('Password', { exact: true }).fill('not the password')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await expect(page.getByRole('alert')).toBeVisible()
  await signIn(page)
  await expect(page.getByRole('heading', { level: 1 })).toContainText(/target|watched/)
  await expect(page.getByRole('status').filter({ hasText: 'Live' })).toBeVisible()
})

test('a tier says what it costs before it is made', async ({ console: page }) => {
  await page.getByRole('link', { name: 'Tiers' }).click()
  await page.getByRole('button', { name: 'Create tier' }).click()
  const dialog = page.getByRole('dialog', { name: 'Create tier' })
  await dialog.getByLabel('Name').fill(TIER)
  await dialog.getByRole('textbox', { name: 'Every' }).first().fill('2')
  await expect(dialog.getByText('must be from 5 to 3600')).toBeVisible()
  await dialog.getByRole('textbox', { name: 'Every' }).first().fill('5')
  await expect(dialog.getByText('1,000 packets/s', { exact: true })).toBeVisible()
  await dialog.getByRole('button', { name: 'Create tier' }).click()
  await expect(page.getByRole('row', { name: TIER })).toContainText('5 packets every 5 s')
})

test('an added address comes up, with the minutes and rounds behind it', async ({
  console: page,
}) => {
  test.setTimeout(VERDICT_WITHIN_MS * 2)
  await page.getByRole('link', { name: 'Targets', exact: true }).click()
  await page.getByRole('link', { name: 'Add target' }).first().click()
  const dialog = page.getByRole('dialog', { name: 'Add target' })
  await dialog.getByLabel('Address').fill('127.0.0.1')
  await dialog.getByLabel('Name').fill('not a name')
  await dialog.getByLabel('Tier').click()
  await page.getByRole('option', { name: TIER }).click()
  await dialog.getByRole('button', { name: 'Add target' }).click()
  await expect(dialog.getByLabel('Name')).toHaveAttribute('aria-invalid', 'true')
  await dialog.getByLabel('Name').fill(TARGET)
  await dialog.getByRole('button', { name: 'Add target' }).click()
  await expect(dialog).toBeHidden()

  await page.getByLabel('Search targets').fill(TARGET)
  await page.getByRole('link', { name: TARGET }).click()
  await expect(page.getByRole('heading', { level: 1, name: TARGET })).toBeVisible()
  const verdict = page.getByRole('region', { name: 'Verdict', exact: true })
  await expect(verdict).toContainText('Up', { timeout: VERDICT_WITHIN_MS })
  await expect(verdict).toContainText('since')

  await expect(page.getByRole('img', { name: /^Round-trip time of/ })).toBeVisible()
  const moment = page.getByRole('slider', { name: 'Moment' })
  await moment.focus()
  // The minute under way lives: its rounds are told before it is closed.
  await expect(async () => {
    await page.keyboard.press('End')
    await expect(moment).toHaveAttribute('aria-valuetext', /Consensus Up.*loss 0 %/, {
      timeout: 1_000,
    })
  }).toPass({ timeout: VERDICT_WITHIN_MS })
  await page.keyboard.press('Enter')
  const drawer = page.getByRole('dialog', { name: TARGET })
  await expect(drawer.getByRole('table')).toContainText('5 of 5')
  await expect(page).toHaveURL(/minute=/)

  await page.keyboard.press('Escape')
  await expect(drawer).toBeHidden()
  await expect(moment).toBeFocused()
  await page.keyboard.press('ArrowLeft')
  await page.keyboard.press('Enter')
  await expect(drawer).toBeVisible()
  await page.keyboard.press('Escape')
  await expect(drawer).toBeHidden()

  await page.getByRole('button', { name: 'Pause' }).click()
  await expect(verdict).toContainText('Paused')
  await page.getByRole('button', { name: 'Resume' }).click()
  await expect(verdict).toContainText('Up', { timeout: VERDICT_WITHIN_MS })
})

test('an import is checked before it changes anything', async ({ console: page }) => {
  const names = [`bulk-a-${RUN}`, `bulk-b-${RUN}`]
  await page.goto('/targets?dialog=import')
  const dialog = page.getByRole('dialog', { name: 'Import targets' })
  const rows = [
    'name,address,tier,tags,note',
    `${names[0]},192.0.2.10,${TIER},bulk ${RUN},`,
    `${names[1]},2001:db8::10,${TIER},bulk ${RUN},`,
    `bulk-c-${RUN},192.0.2.999,${TIER},,`,
  ]
  await dialog.getByLabel('Rows to import').fill(rows.join('\n'))
  await dialog.getByRole('button', { name: 'Check CSV' }).click()
  await expect(dialog.getByRole('status')).toContainText('2 to create')
  await expect(dialog.getByRole('row', { name: `bulk-c-${RUN}` })).toContainText('address')
  await dialog.getByRole('button', { name: 'Import 2 of 3 rows' }).click()
  await expect(dialog.getByRole('status')).toContainText('2 created')
  await dialog.getByRole('button', { name: 'Show the targets' }).click()
  await page.getByRole('textbox', { name: 'Tag' }).fill(RUN)
  await expect(page).toHaveURL(new RegExp(`tag=${RUN}`))
  for (const name of names) await expect(page.getByRole('link', { name })).toBeVisible()
})

test('filters live in the address', async ({ console: page }) => {
  await page
    .getByRole('list', { name: 'Targets by verdict' })
    .getByRole('link', { name: /Up/ })
    .click()
  await expect(page).toHaveURL(/verdict=up/)
  await page.getByRole('button', { name: 'Down' }).click()
  await expect(page).toHaveURL(/verdict=down,up/)
  await page.getByRole('button', { name: 'Since' }).click()
  await expect(page).toHaveURL(/sort=since/)
  await page.reload()
  await expect(page.getByRole('button', { name: 'Down' })).toHaveAttribute('aria-pressed', 'true')
  await expect(page.getByRole('button', { name: 'Unknown' })).toHaveAttribute(
    'aria-pressed',
    'false',
  )
  await page.getByLabel('Search targets').fill('nothing has this name')
  await expect(page.getByText('No target matches')).toBeVisible()
})

test('a new agent is one command away, and can be cut off', async ({ console: page }) => {
  const name = `pop-${RUN}`
  await page.getByRole('link', { name: 'Agents', exact: true }).click()
  await page.getByRole('link', { name: 'Create agent' }).click()
  const dialog = page.getByRole('dialog', { name: 'Create agent' })
  await dialog.getByLabel('Name').fill(name)
  await dialog.getByRole('button', { name: 'Create agent' }).click()
  const command = dialog.getByLabel('Command for the agent’s host')
  await expect(command).toContainText('faultline-agent enroll flt1.')
  await expect(dialog.getByRole('timer')).toContainText('expires in')
  await dialog.getByRole('button', { name: 'Done' }).click()
  const card = page.getByRole('article', { name })
  await expect(card).toContainText('Never seen')
  await card.getByRole('button', { name: `Actions on ${name}` }).click()
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  await page.getByRole('button', { name: 'Delete agent' }).click()
  await expect(card).toBeHidden()
})

test('a viewer sees everything and is offered nothing to change', async ({
  console: page,
  browser,
}) => {
  const name = `wall-${RUN}`
  const password = `only looks ${RUN}`
  await page.getByRole('link', { name: 'Users', exact: true }).click()
  await page.getByRole('button', { name: 'Create user' }).click()
  const dialog = page.getByRole('dialog', { name: 'Create user' })
  await dialog.getByLabel('Name').fill(name)
  await dialog.getByLabel('First password').fill(password)
  await dialog.getByRole('button', { name: 'Create user' }).click()
  await expect(page.getByRole('row', { name })).toContainText('viewer')

  const other = await browser.newContext()
  const wall = await other.newPage()
  await signIn(wall, name, password)
  await expect(wall.getByRole('link', { name: 'Users', exact: true })).toBeHidden()
  await wall.getByRole('link', { name: 'Targets', exact: true }).click()
  await expect(
    wall.getByRole('heading', { level: 1, name: 'Targets', exact: true }),
  ).toBeVisible()
  await expect(wall.getByRole('link', { name: TARGET })).toBeVisible()
  await expect(wall.getByRole('link', { name: 'Add target' })).toBeHidden()
  await expect(wall.getByRole('button', { name: /^Actions on/ })).toHaveCount(0)
  await other.close()
})
