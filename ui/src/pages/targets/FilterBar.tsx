/**
 * Search and filters. Typing changes the address after a short pause, so that Back stays useful.
 */

import { CloseButton, Select, TextInput } from '@mantine/core'
import { useDebouncedCallback } from '@mantine/hooks'
import { useSuspenseQuery } from '@tanstack/react-query'
import { useNavigate, useRouter } from '@tanstack/react-router'
import { useState } from 'react'

import { tiersQuery } from '../../api/queries'
import { type TargetFilter, splitVerdicts, toggleVerdict } from '../../domain/filter'
import { VERDICTS, verdictMark } from '../../domain/verdict'
import { Icon, MarkShape } from '../../ui/Icon'
import { SEARCH_FIELD } from '../../ui/keys'
import css from './TargetsPage.module.css'

const TYPING_PAUSE_MS = 220

export function FilterBar({ filter }: { filter: TargetFilter }) {
  const navigate = useNavigate({ from: '/targets' })
  const { data: tiers } = useSuspenseQuery(tiersQuery)
  const router = useRouter()
  const change = (part: Partial<TargetFilter>) => {
    // Whoever typed and went on within the pause must not be called back.
    if (router.history.location.pathname !== '/targets') return
    void navigate({ to: '/targets', search: (old) => ({ ...old, ...part }), replace: true })
  }
  const chosen = splitVerdicts(filter.verdict)
  return (
    <search className={css.bar}>
      <TextFilter
        key={`q ${filter.q === undefined}`}
        label="Search targets"
        placeholder="Search by name, address, tag"
        value={filter.q}
        isSearch
        onChange={(q) => {
          change({ q })
        }}
      />
      <div className={css.verdicts} role="group" aria-label="Verdict">
        {VERDICTS.map((verdict) => {
          const mark = verdictMark(verdict)
          return (
            <button
              key={verdict}
              type="button"
              className={`${css.chip} tone-${mark.tone}`}
              aria-pressed={chosen.includes(verdict)}
              onClick={() => {
                change({ verdict: toggleVerdict(filter.verdict, verdict) })
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
        aria-label="Tier"
        placeholder="Every tier"
        clearable
        data={tiers.items.map((tier) => ({ value: String(tier.id), label: tier.name }))}
        value={filter.tier ?? null}
        onChange={(tier) => {
          change({ tier: tier ?? undefined })
        }}
      />
      <TextFilter
        key={`tag ${filter.tag === undefined}`}
        label="Tag"
        placeholder="Every tag"
        value={filter.tag}
        onChange={(tag) => {
          change({ tag })
        }}
      />
    </search>
  )
}

interface TextFilterProps {
  label: string
  placeholder: string
  value: string | undefined
  isSearch?: boolean
  onChange: (value: string | undefined) => void
}

function TextFilter({ label, placeholder, value, isSearch = false, onChange }: TextFilterProps) {
  const [text, setText] = useState(value ?? '')
  const settle = useDebouncedCallback((next: string) => {
    onChange(next.trim() === '' ? undefined : next.trim())
  }, TYPING_PAUSE_MS)
  return (
    <TextInput
      className={isSearch ? css.search : css.select}
      aria-label={label}
      placeholder={placeholder}
      spellCheck={false}
      autoCapitalize="none"
      value={text}
      {...(isSearch && { ...SEARCH_FIELD, type: 'search', leftSection: <Icon name="search" /> })}
      rightSection={
        text !== '' && (
          <CloseButton
            size="sm"
            aria-label={`Clear ${label.toLowerCase()}`}
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
