// @vitest-environment happy-dom
import { fireEvent, screen, waitFor } from '@testing-library/react'
import { beforeEach, expect, test, vi } from 'vitest'

/** What the server answers next; the client takes `fetch` when it is loaded, so it stands first. */
const server = vi.hoisted(() => {
  const held = {
    answer: (): Response => new Response(null, { status: 500 }),
    asked: [] as Request[],
  }
  globalThis.fetch = (input) => {
    held.asked.push(input as Request)
    return Promise.resolve(held.answer())
  }
  return held
})

import type { Agent, User } from '../api/types'
import { show } from '../testing'
import { PasswordDialog } from '../ui/PasswordDialog'
import { CreateAgent } from './agents/CreateAgent'
import { EditAgent } from './agents/EditAgent'
import { CreateUser } from './people/CreateUser'
import { ResetPassword } from './people/ResetPassword'

const nothing = () => undefined

function refuses(status: number, body: object): void {
  server.answer = () =>
    new Response(JSON.stringify({ request_id: '00c0ffee', ...body }), {
      status,
      headers: { 'content-type': 'application/problem+json' },
    })
}

const refusesFields = (...errors: { field: string; reason: string }[]) => {
  refuses(422, { code: 'invalid', detail: 'some fields cannot be accepted', errors })
}

beforeEach(() => {
  server.asked.length = 0
})

const fill = (label: string | RegExp, value: string) => {
  fireEvent.change(screen.getByLabelText(label), { target: { value } })
}

/** Presses the button that sends the form. */
const send = (name: string) => {
  fireEvent.click(screen.getByRole('button', { name }))
}

/** The reason stands at its field, which is marked for ears too. */
async function expectReason(label: string | RegExp, reason: string): Promise<void> {
  expect(await screen.findByText(reason)).toBeDefined()
  await waitFor(() => {
    expect(screen.getByLabelText(label).getAttribute('aria-invalid')).toBe('true')
  })
}

test('a refused field shows its reason where it was typed, and what was typed stays', async () => {
  refusesFields({ field: 'name', reason: 'another one has this name' })
  show(<CreateAgent isOpen onClose={nothing} />)
  fill('Name', 'pop-north')
  send('Create agent')
  await expectReason('Name', 'another one has this name')
  expect(screen.getByLabelText<HTMLInputElement>('Name').value).toBe('pop-north')
  const alert = screen.getByRole('alert')
  expect(alert.textContent).toBe('Nothing was saved: see what is marked above.')
})

test('an agent is edited with what it has, and bad witnesses are named', async () => {
  refusesFields({ field: 'witnesses', reason: '`here` is not an IP address' })
  const agent = { id: 7, name: 'pop-north', witnesses: ['192.0.2.53'] } as Agent
  show(<EditAgent agent={agent} onClose={nothing} />)
  expect(screen.getByText('192.0.2.53')).toBeDefined()
  fill('Name', 'pop-south')
  send('Save')
  expect(await screen.findByText('`here` is not an IP address')).toBeDefined()
  const [request] = server.asked
  expect(request?.method).toBe('PATCH')
  expect(await request?.json()).toEqual({ name: 'pop-south', witnesses: ['192.0.2.53'] })
})

test('a weak first password is refused at its field', async () => {
  refusesFields({ field: 'password', reason: 'must have at least 12 characters' })
  show(<CreateUser isOpen onClose={nothing} />)
  fill('Name', 'ann')
  fill('First password', 'short, but sent')
  send('Create user')
  await expectReason('First password', 'must have at least 12 characters')
})

test('the wrong current password is said, and two new ones that differ are not sent', async () => {
  refusesFields({ field: 'current_password', reason: 'is not your password' })
  show(<PasswordDialog isOpen onClose={nothing} />)
  fill('Current password', 'wrong')
  fill('New password', 'a long enough password')
  fill('New password again', 'another long password')
  expect(screen.getByText('is not the same')).toBeDefined()
  expect(screen.getByRole('button', { name: 'Change password' })).toHaveProperty('disabled', true)
  fill('New password again', 'a long enough password')
  send('Change password')
  await expectReason('Current password', 'is not your password')
  expect(server.asked.length).toBe(1)
})

test('a reset password is shown once, and a failure shows none', async () => {
  const user = { id: 3, name: 'ann', is_disabled: false } as User
  refuses(503, { code: 'unavailable', detail: 'the database is busy; try again' })
  show(<ResetPassword user={user} onClose={nothing} />)
  send('Reset password')
  expect((await screen.findByRole('alert')).textContent).toContain('the database is busy')
  expect(screen.queryByLabelText('New password of ann')).toBeNull()
  server.answer = () =>
    new Response(JSON.stringify({ password: 'k3kx-once' }), {
      headers: { 'content-type': 'application/json' },
    })
  send('Reset password')
  expect((await screen.findByLabelText('New password of ann')).textContent).toBe('k3kx-once')
})

test('a server that does not answer is not taken for a refusal', async () => {
  server.answer = () => {
    throw new TypeError('connection refused')
  }
  show(<CreateAgent isOpen onClose={nothing} />)
  fill('Name', 'pop-north')
  send('Create agent')
  expect((await screen.findByRole('alert')).textContent).toContain('the server does not answer')
})
