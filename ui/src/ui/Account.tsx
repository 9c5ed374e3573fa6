/** Who is signed in, the theme, the password, and the way out. */

import { Menu, SegmentedControl, UnstyledButton, useMantineColorScheme } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate, useRouter } from '@tanstack/react-router'
import { useState } from 'react'

import { useSignOut } from '../api/commands'
import { keys, sessionQuery } from '../api/queries'
import css from './Account.module.css'
import { Icon } from './Icon'
import { PasswordDialog } from './PasswordDialog'

export function Account({ onHelp }: { onHelp?: () => void }) {
  const { data: session } = useQuery(sessionQuery)
  const [isPasswordOpen, setPasswordOpen] = useState(false)
  const client = useQueryClient()
  const router = useRouter()
  const navigate = useNavigate()
  const signOut = useSignOut()
  if (!session) return null
  const leave = () => {
    signOut.mutate(undefined, {
      onSuccess: () => {
        client.clear()
        client.setQueryData(keys.session, null)
        void navigate({ to: '/sign-in' }).then(() => router.invalidate())
      },
    })
  }
  return (
    <>
      <Menu position="top-start" width={216} shadow="md" withinPortal>
        <Menu.Target>
          <UnstyledButton className={css.button} aria-label={`Account of ${session.user.name}`}>
            <span className={css.face} aria-hidden>
              {session.user.name.slice(0, 1).toUpperCase()}
            </span>
            <span className={css.who}>
              <b>{session.user.name}</b>
              <small>{session.user.role}</small>
            </span>
            <Icon name="more" />
          </UnstyledButton>
        </Menu.Target>
        <Menu.Dropdown>
          <div className={css.theme}>
            <ThemeSwitch />
          </div>
          <Menu.Divider />
          <Menu.Item
            leftSection={<Icon name="key" />}
            onClick={() => {
              setPasswordOpen(true)
            }}
          >
            Change password
          </Menu.Item>
          {onHelp && (
            <Menu.Item leftSection={<Icon name="keyboard" />} onClick={onHelp}>
              Keyboard
            </Menu.Item>
          )}
          <Menu.Item leftSection={<Icon name="out" />} onClick={leave}>
            Sign out
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <PasswordDialog
        isOpen={isPasswordOpen}
        onClose={() => {
          setPasswordOpen(false)
        }}
      />
    </>
  )
}

function ThemeSwitch() {
  const { colorScheme, setColorScheme } = useMantineColorScheme()
  return (
    <SegmentedControl
      fullWidth
      size="xs"
      aria-label="Theme"
      value={colorScheme}
      onChange={(value) => {
        setColorScheme(value as 'light' | 'dark' | 'auto')
      }}
      data={[
        { value: 'auto', label: 'System' },
        { value: 'light', label: 'Light' },
        { value: 'dark', label: 'Dark' },
      ]}
    />
  )
}
