/** A command to carry elsewhere: shown whole, copied with one press. */

import { Button, CopyButton } from '@mantine/core'

import css from './CopyBlock.module.css'
import { Icon } from './Icon'

export function CopyBlock({ text, label }: { text: string; label: string }) {
  return (
    <div className={css.block}>
      <pre aria-label={label}>{text}</pre>
      <CopyButton value={text} timeout={2000}>
        {({ copied, copy }) => (
          <Button
            variant="default"
            onClick={copy}
            leftSection={<Icon name="copy" size={14} />}
            aria-live="polite"
          >
            {copied ? 'Copied' : 'Copy'}
          </Button>
        )}
      </CopyButton>
    </div>
  )
}
