/**
 * Who may sign in and who asks: an agent that is changed after its creation, a password that was
 * forgotten, and the admin that must not be lost.
 */

import { RUN, USER, expect, signIn, test } from './console'

const AGENT = `edit-${RUN}`
const PERSON = `ann-${RUN}`
const FIRST = `first secret ${RUN}`

test('an agent is renamed and gets other witnesses after it was made', async ({
  console: page,
}) => {
  await page.goto('/agents?dialog=create')
  const create = page.getByRole('dialog', { name: 'Create agent' })
  await create.getByLabel('Name').fill(AGENT)
  await create.getByRole('button', { name: 'Create agent' }).click()
  await create.getByRole('button', { name: 'Done' }).click()

  await page.getByRole('button', { name: `Actions on ${AGENT}` }).click()
  await page.getByRole('menuitem', { name: 'Edit' }).click()
  const edit = page.getByRole('dialog', { name: `Edit ${AGENT}` })
  const witnesses = edit.getByRole('combobox', { name: 'Witnesses' })
  await witnesses.fill('here')
  await page.keyboard.press('Enter')
  await edit.getByRole('button', { name: 'Save' }).click()
  await expect(edit.getByText('is not an IP address').first()).toBeVisible()
  await witnesses.press('Backspace')
  await witnesses.fill('192.0.2.53')
  await page.keyboard.press('Enter')
  await edit.getByLabel('Name').fill(`${AGENT}-b`)
  await edit.getByRole('button', { name: 'Save' }).click()
  await expect(edit).toBeHidden()
  const card = page.getByRole('article', { name: `${AGENT}-b` })
  await expect(card).toContainText('192.0.2.53')

  await page.getByRole('link', { name: 'Audit' }).click()
  const first = page.getByRole('row', { name: new RegExp(`agent.update.*${AGENT}-b`) })
  await expect(first).toBeVisible()

  await page.goto('/agents')
  await page.getByRole('button', { name: `Actions on ${AGENT}-b` }).click()
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  await page.getByRole('button', { name: 'Delete agent' }).click()
  await expect(card).toBeHidden()
})

test('a forgotten password is reset, shown once, and signs its owner out', async ({
  console: page,
  browser,
}) => {
  await page.goto('/users')
  await page.getByRole('button', { name: 'Create user' }).click()
  const dialog = page.getByRole('dialog', { name: 'Create user' })
  await dialog.getByLabel('Name').fill(PERSON)
  await dialog.getByLabel('First password').fill(FIRST)
  await dialog.getByRole('button', { name: 'Create user' }).click()
  const row = page.getByRole('row', { name: PERSON })
  await expect(row).toBeVisible()

  const context = await browser.newContext()
  const other = await context.newPage()
  await signIn(other, PERSON, FIRST)

  const act = async (action: string) => {
    await page.getByRole('button', { name: `Actions on ${PERSON}` }).click()
    await page.getByRole('menuitem', { name: action }).click()
  }
  await act('Reset password')
  const reset = page.getByRole('dialog', { name: `New password for ${PERSON}` })
  await reset.getByRole('button', { name: 'Reset password' }).click()
  const shown = reset.getByLabel(`New password of ${PERSON}`)
  await expect(shown).toHaveText(/^[a-z2-9]{20}$/)
  const password = await shown.innerText()
  await reset.getByRole('button', { name: 'Done' }).click()

  await other.goto('/targets')
  await expect(other).toHaveURL(/\/sign-in/)
  await signIn(other, PERSON, password)

  await act('Make operator')
  await expect(row).toContainText('operator')
  await act('Disable')
  await expect(row).toContainText('disabled')
  await other.goto('/targets')
  await expect(other).toHaveURL(/\/sign-in/)
  await act('Enable')
  await expect(row).toContainText('may sign in')
  await context.close()
})

test('people change their own password, and nobody takes their own rights away', async ({
  console: page,
  browser,
}) => {
  // One's own row offers nothing; the account's menu has the password.
  await page.goto('/users')
  const own = page.getByRole('row', { name: new RegExp(`^${USER} `) })
  await expect(own).toContainText('you')
  await expect(own.getByRole('button')).toHaveCount(0)

  const name = `own-${RUN}`
  const body = { name, role: 'viewer', password: FIRST }
  await page.getByRole('button', { name: 'Create user' }).click()
  const dialog = page.getByRole('dialog', { name: 'Create user' })
  await dialog.getByLabel('Name').fill(body.name)
  await dialog.getByLabel('First password').fill(body.password)
  await dialog.getByRole('button', { name: 'Create user' }).click()
  await expect(page.getByRole('row', { name })).toBeVisible()

  const context = await browser.newContext()
  const mine = await context.newPage()
  await signIn(mine, name, FIRST)
  await mine.getByRole('button', { name: /^Account of/ }).click()
  await mine.getByRole('menuitem', { name: 'Change password' }).click()
  const change = mine.getByRole('dialog', { name: 'Change password' })
  const next = `second secret ${RUN}`
  await change.getByLabel('Current password').fill('wrong')
  await change.getByLabel('New password', { exact: true }).fill(next)
  await change.getByLabel('New password again').fill(next)
  await change.getByRole('button', { name: 'Change password' }).click()
  await expect(change.getByText('is not your password')).toBeVisible()
  await change.getByLabel('Current password').fill(FIRST)
  await change.getByRole('button', { name: 'Change password' }).click()
  await expect(change).toBeHidden()
  await mine.getByRole('button', { name: /^Account of/ }).click()
  await mine.getByRole('menuitem', { name: 'Sign out' }).click()
  await signIn(mine, name, next)
  await context.close()
})

test('the gaps are a table with both ends, or said to be none', async ({ console: page }) => {
  await page.goto('/health')
  await expect(page.getByRole('heading', { level: 2, name: /^Gaps/ })).toBeVisible()
  const table = page.getByRole('table', { name: 'Gaps' })
  await expect(table.or(page.getByText('No gaps', { exact: true }))).toBeVisible()
})
