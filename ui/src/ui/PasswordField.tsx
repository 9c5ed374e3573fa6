/** A field for a password. Unlike the part it is made of, it tells ears that it was refused. */

import { PasswordInput, type PasswordInputProps } from '@mantine/core'

export function PasswordField(props: PasswordInputProps) {
  return <PasswordInput withAsterisk={false} aria-invalid={Boolean(props.error)} {...props} />
}
