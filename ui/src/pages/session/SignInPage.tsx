/** The door. */

import { Button, TextInput } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useRouter } from '@tanstack/react-router'
import { type FormEvent, useEffect, useRef, useState } from 'react'

import { setCsrfToken } from '../../api/client'
import { useSignIn } from '../../api/commands'
import { keys } from '../../api/queries'
import { Failure } from '../../ui/Failure'
import { PasswordField } from '../../ui/PasswordField'
import form from '../../ui/form.module.css'
import css from './SignInPage.module.css'

export default function SignInPage() {
  const [name, setName] = useState('')
  const [password, setPassword] = useState('')
  const signIn = useSignIn()
  const client = useQueryClient()
  const router = useRouter()
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => {
    field.current?.focus()
    document.title = 'Sign in · Faultline'
  }, [])
  const submit = (event: FormEvent) => {
    event.preventDefault()
    signIn.mutate(
      { name, password },
      {
        onSuccess: (session) => {
          setCsrfToken(session.csrf_token)
          client.setQueryData(keys.session, session)
          void router.invalidate()
        },
      },
    )
  }
  return (
    <main className={css.page}>
      <div className={css.card}>
        <Trace />
        <h1>Faultline</h1>
        <p className={css.lead}>Sign in to see what answers, what does not, and why.</p>
        <form className={form.form} onSubmit={submit}>
          <TextInput
            label="User name"
            size="md"
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            required
            ref={field}
            withAsterisk={false}
            value={name}
            onChange={(event) => {
              setName(event.currentTarget.value)
            }}
          />
          <PasswordField
            label="Password"
            size="md"
            autoComplete="current-password"
            required
            value={password}
            onChange={(event) => {
              setPassword(event.currentTarget.value)
            }}
          />
          <Failure error={signIn.error} />
          <Button type="submit" size="md" loading={signIn.isPending} fullWidth>
            Sign in
          </Button>
        </form>
        <details className={css.hint}>
          <summary>First time here, or password lost?</summary>
          <p>
            On its first start the server made the user <code>admin</code>. Its first password was
            printed in the terminal that <code>faultline up</code> was typed in; of a service it
            is in the file <code>first-password</code> of its data directory, until it is changed:
            account menu, “Change password”.
          </p>
          <p>
            An admin gives a new password under Users. If no admin can sign in any more, type{' '}
            <code>faultline user reset-password NAME</code> on the server’s machine, with its{' '}
            <code>--data-dir</code>.
          </p>
        </details>
      </div>
    </main>
  )
}

/** An hour as the console draws it, with its one fault. */
function Trace() {
  return (
    <svg viewBox="0 0 300 44" className={css.trace} aria-hidden>
      {Array.from({ length: 50 }, (_, i) => {
        const isDown = i === 31 || i === 32
        const isUnknown = i === 33
        const height = isDown || isUnknown ? 40 : i === 30 || i === 34 ? 28 : 16
        const fill = isDown
          ? 'var(--bad-fill)'
          : isUnknown
            ? 'var(--hatch-ink)'
            : 'var(--good-fill)'
        return (
          <rect
            key={i}
            x={i * 6}
            y={42 - height}
            width={4.5}
            height={height}
            rx={1}
            fill={fill}
            opacity={isDown || isUnknown ? 1 : 0.35 + i / 90}
          />
        )
      })}
    </svg>
  )
}
