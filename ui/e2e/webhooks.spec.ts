/** Who is told what happens: from the first test to a receiver that failed and is sent it again. */

import { createHmac } from 'node:crypto'
import { type IncomingHttpHeaders, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

import AxeBuilder from '@axe-core/playwright'
import type { Page } from '@playwright/test'

import { RUN, expect, test } from './console'

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']

interface Taken {
  headers: IncomingHttpHeaders
  body: string
}

/** Takes messages on a port of its own, and answers as it is told to. */
async function receiver() {
  const taken: Taken[] = []
  const desk = { status: 200, text: '', taken, url: '' }
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (part: string) => (body += part))
    request.on('end', () => {
      taken.push({ headers: request.headers, body })
      response.writeHead(desk.status).end(desk.text)
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  desk.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/in`
  const close = () => {
    server.closeAllConnections()
    server.close()
  }
  return Object.assign(desk, { close })
}

/** The rule of Standard Webhooks, by hand: HMAC-SHA-256 of `id.timestamp.body`. */
function signatureOf(secret: string, { headers, body }: Taken): string {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
  const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`
  return `v1,${createHmac('sha256', key).update(signed).digest('base64')}`
}

async function expectAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze()
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ''}`)).toEqual([])
}

async function act(page: Page, name: string, action: string): Promise<void> {
  await page.getByRole('button', { name: `Actions on ${name}` }).click()
  await page.getByRole('menuitem', { name: action }).click()
}

test('a webhook is made, tested, fails for a reason that is said, and is sent again', async ({
  console: page,
}) => {
  await page.emulateMedia({ reducedMotion: 'reduce' })
  const desk = await receiver()
  const name = `noc-${RUN}`
  await page.getByRole('link', { name: 'Webhooks' }).click()
  await page.getByRole('button', { name: 'Create webhook' }).click()
  const dialog = page.getByRole('dialog', { name: 'Create webhook' })
  await dialog.getByLabel('Name').fill(name)
  await dialog.getByLabel('Address').fill('ftp://nowhere')
  await dialog.getByRole('button', { name: 'Create webhook' }).click()
  await expect(dialog.getByText('must be an address').first()).toBeVisible()
  await dialog.getByLabel('Address').fill(desk.url)
  await dialog.getByRole('button', { name: 'Create webhook' }).click()
  const secret = await dialog.getByLabel(`Secret of ${name}`).innerText()
  expect(secret).toMatch(/^whsec_/)
  await dialog.getByRole('button', { name: 'Done' }).click()

  const row = page.getByRole('row', { name: new RegExp(name) })
  await expect(row).toContainText('Nothing sent yet')
  await row.getByRole('button', { name: `Test ${name}` }).click()
  await expect(row.getByRole('status')).toContainText(/Test taken: 200 after .* ms/)
  await expect(row).toContainText('Works')
  const [first] = desk.taken
  expect(first?.headers['webhook-signature']).toBe(first && signatureOf(secret, first))
  expect(JSON.parse(first?.body ?? '')).toMatchObject({ type: 'test' })

  desk.status = 503
  desk.text = 'the queue is full'
  await row.getByRole('button', { name: `Test ${name}` }).click()
  const reason = 'the receiver answered 503: the queue is full'
  await expect(row.getByRole('status')).toContainText(reason)
  await expectAccessible(page)

  await row.getByRole('link', { name }).click()
  await page.getByText('Given up', { exact: true }).first().click()
  const failed = page.getByRole('row', { name: new RegExp(reason) })
  await expect(failed).toHaveCount(1)
  await failed.click()
  const message = page.getByRole('dialog', { name: 'Test' })
  await expect(message.getByLabel('Tries')).toContainText(reason)
  await expect(message.getByLabel('Body')).toContainText('nothing is the matter')
  await expectAccessible(page)
  desk.status = 200
  await message.getByRole('button', { name: 'Send again' }).click()
  await expect(message.getByText('Taken', { exact: true })).toBeVisible()
  expect(desk.taken.at(-1)?.headers['webhook-id']).toBe(desk.taken[1]?.headers['webhook-id'])
  await message.getByRole('button', { name: 'Close' }).first().click()
  await expect(page.getByText('Nothing was given up')).toBeVisible()

  await act(page, name, 'New secret')
  const renew = page.getByRole('dialog', { name: `New secret for ${name}` })
  await renew.getByRole('button', { name: 'Make a new secret' }).click()
  const second = await renew.getByLabel(`Secret of ${name}`).innerText()
  await renew.getByRole('button', { name: 'Done' }).click()
  await page.getByRole('button', { name: `Test ${name}` }).click()
  await expect(page.getByRole('status').filter({ hasText: 'Test taken' })).toBeVisible()
  const last = desk.taken.at(-1)
  expect(last?.headers['webhook-signature']).toBe(last && signatureOf(second, last))

  await act(page, name, 'Disable')
  await page.getByRole('button', { name: 'Disable webhook' }).click()
  await expect(page.getByText('Disabled', { exact: true })).toBeVisible()
  await act(page, name, 'Edit')
  const edit = page.getByRole('dialog', { name: `Edit ${name}` })
  await edit.getByLabel('Name').fill(`${name}-b`)
  await edit.getByRole('button', { name: 'Save' }).click()
  await expect(page.getByRole('heading', { level: 1, name: `${name}-b` })).toBeVisible()
  await act(page, `${name}-b`, 'Delete')
  await page.getByRole('button', { name: 'Delete webhook' }).click()
  await expect(page).toHaveURL(/\/webhooks$/)
  await expect(page.getByRole('link', { name: `${name}-b` })).toHaveCount(0)
  desk.close()
})
