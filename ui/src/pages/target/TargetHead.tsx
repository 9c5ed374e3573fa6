/** Who it is, what is held of it, since when, and why. */

import { ActionIcon, Button, Menu } from '@mantine/core'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useState } from 'react'

import { useTargetChange } from '../../api/commands'
import type { Target, TargetStatus } from '../../api/types'
import { causeWords } from '../../domain/cause'
import { verdictMark } from '../../domain/verdict'
import { consensusWords } from '../../domain/waiting'
import { DeleteTarget } from '../targets/DeleteTarget'
import { TargetDialog } from '../targets/TargetDialog'
import { Icon } from '../../ui/Icon'
import { Tag } from '../../ui/Panel'
import { Age, Moment } from '../../ui/Time'
import { MarkLabel } from '../../ui/Verdict'
import { useNow, useTimeText } from '../../ui/clock'
import { useCan } from '../../ui/session'
import css from './TargetPage.module.css'

export function TargetHead({ status }: { status: TargetStatus }) {
  const { target, consensus, interval_s } = status
  const mayWrite = useCan('target_write')
  const mark = verdictMark(consensus.verdict, target.is_paused)
  const now = useNow()
  const { zone } = useTimeText()
  const { why, note } = consensusWords(status, now, zone)
  return (
    <>
      <Link to="/targets" className={css.crumb}>
        Targets
      </Link>
      <header className={css.top}>
        <div className={css.identity}>
          <h1>{target.name}</h1>
          <p className={css.meta}>
            <span className="mono">{target.address}</span>
            <span>
              {target.tier.name}, every {interval_s} s
            </span>
            {target.tags.length > 0 && (
              <span className={css.tags}>
                {target.tags.map((tag) => (
                  <Link key={tag} to="/targets" search={{ tag }}>
                    <Tag>{tag}</Tag>
                  </Link>
                ))}
              </span>
            )}
            {target.note !== '' && <span>{target.note}</span>}
          </p>
        </div>
        {mayWrite && <Actions target={target} />}
      </header>
      <section
        aria-label="Verdict"
        className={`${css.verdict} tone-${mark.tone}`}
        data-loud={mark.tone !== 'good' || undefined}
      >
        <MarkLabel mark={mark} size="lg" />
        <p className={css.why}>
          {why}
          {note !== null && <em>{note}</em>}
          <small>
            Rule: {causeWords(consensus.cause)}
            {why === consensus.why && consensus.cause !== 'not_yet' && (
              <>
                . Said at <Moment at={consensus.since} />, when this began
              </>
            )}
          </small>
        </p>
        <p className={css.since}>
          for <Age at={consensus.since} />, since <Moment at={consensus.since} />
        </p>
      </section>
    </>
  )
}

function Actions({ target }: { target: Target }) {
  const navigate = useNavigate()
  const { dialog } = useSearch({ from: '/inside/targets/$id' })
  const [isDeleting, setDeleting] = useState(false)
  const change = useTargetChange({ hasNoForm: true })
  const showDialog = (next: 'edit' | undefined) => {
    void navigate({
      to: '.',
      search: (old) => ({ ...old, dialog: next }),
      replace: next === undefined,
    })
  }
  return (
    <div className={css.actions}>
      <Button
        variant="default"
        loading={change.isPending}
        onClick={() => {
          change.mutate({ id: target.id, is_paused: !target.is_paused })
        }}
      >
        {target.is_paused ? 'Resume' : 'Pause'}
      </Button>
      <Button
        variant="default"
        onClick={() => {
          showDialog('edit')
        }}
      >
        Edit
      </Button>
      <Menu position="bottom-end" width={160}>
        <Menu.Target>
          <ActionIcon variant="default" size={30} aria-label="More actions">
            <Icon name="more" />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item
            color="var(--bad)"
            leftSection={<Icon name="trash" />}
            onClick={() => {
              setDeleting(true)
            }}
          >
            Delete
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <TargetDialog
        target={target}
        isOpen={dialog === 'edit'}
        onClose={() => {
          showDialog(undefined)
        }}
      />
      <DeleteTarget
        target={isDeleting ? target : null}
        onClose={() => {
          setDeleting(false)
        }}
        onDeleted={() => void navigate({ to: '/targets' })}
      />
    </div>
  )
}
