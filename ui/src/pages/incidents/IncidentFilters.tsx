/** Which incidents are listed. The address carries all of it. */

import { CloseButton, SegmentedControl, Select, TextInput } from '@mantine/core'
import { useDebouncedCallback } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useNavigate, useRouter } from '@tanstack/react-router'
import { useState } from 'react'

import { assigneesQuery } from '../../api/queries'
import {
  type IncidentFilter,
  SEVERITIES,
  severityMark,
  splitSeverities,
  toggleSeverity,
} from '../../domain/incident'
import { Icon, MarkShape } from '../../ui/Icon'
import { useCan } from '../../ui/session'
import css from './Incidents.module.css'

const TYPING_PAUSE_MS = 220

const SHOWN = [
  { value: 'open', label: 'Open' },
  { value: 'over', label: 'Past' },
  { value: 'all', label: 'All' },
]
const SPANS = [
  { value: '1d', label: 'Last day' },
  { value: '7d', label: 'Last 7 days' },
  { value: '30d', label: 'Last 30 days' },
  { value: '365d', label: 'Last year' },
]
const ORDERS = [
  { value: '-opened', label: 'Newest first' },
  { value: 'severity', label: 'Worst first' },
  { value: 'impact', label: 'Largest first' },
  { value: 'opened', label: 'Oldest first' },
]

export function IncidentFilters({ filter }: { filter: IncidentFilter }) {
  const navigate = useNavigate({ from: '/incidents' })
  const router = useRouter()
  const mayManage = useCan('incident_manage')
  const { data: people } = useQuery({ ...assigneesQuery, enabled: mayManage })
  const change = (part: Partial<IncidentFilter>) => {
    // Whoever typed and went on within the pause must not be called back.
    if (router.history.location.pathname !== '/incidents') return
    void navigate({ to: '/incidents', search: (old) => ({ ...old, ...part }), replace: true })
  }
  const chosen = splitSeverities(filter.severity)
  const names = new Set([
    ...(people?.items ?? []),
    ...(filter.owner && filter.owner !== '-' ? [filter.owner] : []),
  ])
  const owners = [
    { value: '-', label: 'Nobody' },
    ...[...names].map((name) => ({ value: name, label: name })),
  ]
  return (
    <search className={css.bar}>
      <SegmentedControl
        aria-label="Which incidents"
        value={filter.show ?? 'open'}
        data={SHOWN}
        onChange={(show) => {
          change({ show: show === 'all' || show === 'over' ? show : undefined })
        }}
      />
      <Search
        key={`q ${filter.q === undefined}`}
        value={filter.q}
        onChange={(q) => {
          change({ q })
        }}
      />
      <div className={css.severities} role="group" aria-label="Severity">
        {SEVERITIES.map((severity) => {
          const mark = severityMark(severity)
          return (
            <button
              key={severity}
              type="button"
              className={`${css.chip} tone-${mark.tone}`}
              aria-pressed={chosen.includes(severity)}
              onClick={() => {
                change({ severity: toggleSeverity(filter.severity, severity) })
              }}
            >
              <MarkShape icon={mark.icon} size={13} />
              {mark.word}
            </button>
          )
        })}
      </div>
      <Select
        className={css.select}
        aria-label="Owner"
        placeholder="Every owner"
        clearable
        data={owners}
        value={filter.owner ?? null}
        onChange={(owner) => {
          change({ owner: owner ?? undefined })
        }}
      />
      <Select
        className={css.select}
        aria-label="Open within"
        placeholder="Any time"
        clearable
        data={SPANS}
        value={filter.within ?? null}
        onChange={(within) => {
          change({ within: (within ?? undefined) as IncidentFilter['within'] })
        }}
      />
      <Select
        className={css.select}
        aria-label="Order"
        allowDeselect={false}
        data={ORDERS}
        value={filter.sort ?? '-opened'}
        onChange={(sort) => {
          const isUsual = sort === '-opened' || sort === null
          change({ sort: isUsual ? undefined : (sort as IncidentFilter['sort']) })
        }}
      />
      {(['element', 'target'] as const).map((kind) => {
        const name = filter[kind]
        if (name === undefined) return null
        return (
          <span key={kind} className={css.named}>
            {kind} {name}
            <CloseButton
              size="sm"
              aria-label={`Any ${kind}`}
              onClick={() => {
                change({ [kind]: undefined })
              }}
            />
          </span>
        )
      })}
    </search>
  )
}

interface SearchProps {
  value: string | undefined
  onChange: (value: string | undefined) => void
}

function Search({ value, onChange }: SearchProps) {
  const [text, setText] = useState(value ?? '')
  const settle = useDebouncedCallback((next: string) => {
    onChange(next.trim() === '' ? undefined : next.trim())
  }, TYPING_PAUSE_MS)
  return (
    <TextInput
      className={css.search}
      type="search"
      aria-label="Search incidents"
      placeholder="Search, or #12"
      spellCheck={false}
      autoCapitalize="none"
      leftSection={<Icon name="search" />}
      value={text}
      rightSection={
        text !== '' && (
          <CloseButton
            size="sm"
            aria-label="Clear search incidents"
            onClick={() => {
              setText('')
              onChange(undefined)
            }}
          />
        )
      }
      onChange={(event) => {
        setText(event.currentTarget.value)
        settle(event.currentTarget.value)
      }}
    />
  )
}
