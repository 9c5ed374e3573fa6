/** Creates or edits a tier, and says what its settings add up to while they are typed. */

import { Button, NumberInput, SegmentedControl, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'

import { Problem } from '../../api/client'
import { useTierSave } from '../../api/commands'
import { agentsQuery, planQuery, tiersQuery } from '../../api/queries'
import type { Tier } from '../../api/types'
import {
  type KeptDays,
  LEVELS,
  type NumberField,
  RANGES,
  STANDARD,
  type TierSettings,
  bitsPerSecond,
  checkKept,
  checkTier,
  downWithinS,
  packetsPerSecond,
} from '../../domain/tier'
import { bytes, count, many, perSecond } from '../../domain/units'
import { Failure } from '../../ui/Failure'
import form from '../../ui/form.module.css'
import css from './TiersPage.module.css'

/** A new tier is told for this many targets. */
const EXAMPLE_TARGETS = 1000

function settingsOf(tier: Tier | null): TierSettings {
  if (tier === null) return { ...STANDARD }
  const { id: _, targets_total: __, ...settings } = tier
  return settings
}

export function TierForm({ tier, onDone }: { tier: Tier | null; onDone: () => void }) {
  const [settings, setSettings] = useState(() => settingsOf(tier))
  const [isTried, setTried] = useState(false)
  const save = useTierSave()
  const errors = checkTier(settings)
  const problem = save.error instanceof Problem ? save.error : null
  const change = (part: Partial<TierSettings>) => {
    setSettings((old) => ({ ...old, ...part }))
  }
  const errorOf = (field: keyof TierSettings) =>
    problem?.reasonFor(field) ?? (isTried || field !== 'name' ? errors[field] : undefined)
  const submit = (event: FormEvent) => {
    event.preventDefault()
    setTried(true)
    if (Object.keys(errors).length > 0) return
    const { agent_count, ...rest } = settings
    const body = { ...rest, ...(settings.strategy === 'count' && { agent_count }) }
    save.mutate({ id: tier?.id ?? null, body }, { onSuccess: onDone })
  }
  const number = (field: NumberField, label: string, unit: string, scale = 1) => (
    <NumberInput
      label={label}
      suffix={` ${unit}`}
      min={RANGES[field].min / scale}
      max={RANGES[field].max / scale}
      clampBehavior="none"
      allowDecimal={false}
      value={Number.isNaN(settings[field]) ? '' : settings[field] / scale}
      error={errorOf(field)}
      onChange={(value) => {
        change({ [field]: value === '' ? Number.NaN : Number(value) * scale })
      }}
    />
  )
  return (
    <form className={form.form} onSubmit={submit} noValidate>
      <TextInput
        label="Name"
        data-autofocus
        spellCheck={false}
        value={settings.name}
        error={errorOf('name')}
        onChange={(event) => {
          change({ name: event.currentTarget.value })
        }}
      />
      <fieldset className={css.group}>
        <legend>A round</legend>
        <div className={css.numbers}>
          {number('interval_s', 'Every', 's')}
          {number('packets', 'Packets', 'packets')}
          {number('gap_ms', 'Gap between packets', 'ms')}
          {number('timeout_ms', 'Timeout', 'ms')}
          {number('payload_bytes', 'Payload', 'bytes')}
        </div>
      </fieldset>
      <fieldset className={css.group}>
        <legend>Asked by</legend>
        <SegmentedControl
          aria-label="Which agents ask"
          value={settings.strategy}
          onChange={(strategy) => {
            change(
              strategy === 'all'
                ? { strategy: 'all', agent_count: null }
                : { strategy: 'count', agent_count: settings.agent_count ?? 2 },
            )
          }}
          data={[
            { value: 'all', label: 'Every capable agent' },
            { value: 'count', label: 'Some agents' },
          ]}
        />
        {settings.strategy === 'count' && (
          <NumberInput
            label="Agents for each target"
            min={1}
            max={255}
            clampBehavior="none"
            allowDecimal={false}
            value={settings.agent_count ?? ''}
            error={errorOf('agent_count')}
            onChange={(value) => {
              change({ agent_count: value === '' ? null : Number(value) })
            }}
          />
        )}
      </fieldset>
      <fieldset className={css.group}>
        <legend>Degraded when</legend>
        <div className={form.pair}>
          {number('lost_raise', 'Lost of the last 100', 'or more')}
          {number('lost_clear', 'Clears at', 'or fewer')}
          {number('rtt_us_raise', 'Mean round trip above', 'ms', 1000)}
          {number('rtt_us_clear', 'Clears at or below', 'ms', 1000)}
        </div>
      </fieldset>
      <Keeping
        kept={settings.kept_days}
        reasonFor={(field) => problem?.reasonFor(field)}
        onChange={(kept_days) => {
          change({ kept_days })
        }}
      />
      {Object.keys(errors).every((field) => field === 'name') && (
        <Sum settings={settings} tier={tier} />
      )}
      <Failure error={save.error} atPlace={['name', 'kept_days', ...Object.keys(RANGES)]} />
      <div className={form.actions}>
        <Button size="sm" variant="default" onClick={onDone}>
          Cancel
        </Button>
        <Button size="sm" type="submit" loading={save.isPending}>
          {tier ? 'Save' : 'Create tier'}
        </Button>
      </div>
    </form>
  )
}

interface KeepingProps {
  kept: KeptDays
  reasonFor: (field: string) => string | undefined
  onChange: (kept: KeptDays) => void
}

/** For how many days each level is kept; what is empty, as the server keeps it. */
function Keeping({ kept, reasonFor, onChange }: KeepingProps) {
  const { data: tiers } = useQuery(tiersQuery)
  const errors = checkKept(kept)
  return (
    <fieldset className={css.group}>
      <legend>History is kept for</legend>
      <div className={css.numbers}>
        {LEVELS.map(({ level, label }) => (
          <NumberInput
            key={level}
            label={label}
            suffix=" days"
            placeholder={placeholderOf(tiers?.kept_days[level])}
            min={1}
            clampBehavior="none"
            allowDecimal={false}
            value={kept[level] ?? ''}
            error={reasonFor(`kept_days.${level}`) ?? errors[level]}
            onChange={(value) => {
              onChange({ ...kept, [level]: value === '' ? null : Number(value) })
            }}
          />
        ))}
      </div>
      <p className={form.hint}>Empty: as long as this server keeps it.</p>
    </fieldset>
  )
}

function placeholderOf(days: number | null | undefined): string {
  return days == null ? '' : many(days, 'day')
}

function Sum({ settings, tier }: { settings: TierSettings; tier: Tier | null }) {
  const targets = tier?.targets_total ?? EXAMPLE_TARGETS
  const packets = packetsPerSecond(settings, targets)
  const agents = settings.strategy === 'count' ? (settings.agent_count ?? 1) : null
  return (
    <p className={css.sum} role="status">
      <span>
        <b>{perSecond(packets, 'packets')}</b>
        {agents === null
          ? ' from each agent'
          : ` in all times ${agents}, shared by the agents`}{' '}
        for {count(targets)} targets, about {(bitsPerSecond(settings, targets) / 1000).toFixed(0)}{' '}
        kbit/s each way.
      </span>
      <small>A cut is seen within {Math.ceil(downWithinS(settings))} s.</small>
      <Cost settings={settings} targets={targets} />
    </p>
  )
}

/** What the server has to bear; nothing is said while it is not known. */
function Cost({ settings, targets }: { settings: TierSettings; targets: number }) {
  const { interval_s, packets, kept_days } = settings
  const { data: all } = useQuery({ ...agentsQuery, enabled: settings.strategy === 'all' })
  const some = settings.strategy === 'count' ? settings.agent_count : all?.items.length
  const agents = some ?? 0
  const { data: plan } = useQuery(
    planQuery({ targets, agents, interval_s, packets, ...daysOf(kept_days) }),
  )
  if (plan === undefined || agents === 0) return null
  return (
    <small>
      With {many(agents, 'agent')}: {perSecond(plan.together.packets_per_s, 'packets')} together,
      about {bytes(plan.disk_bytes)} of disk once history is kept for its full time.
    </small>
  )
}

/** As the planner is asked; what the server keeps is not said. */
function daysOf(kept: KeptDays): Record<string, number> {
  const own = LEVELS.flatMap(({ level }) => {
    const days = kept[level]
    return days === null ? [] : [[`${level}_days`, days] as const]
  })
  return Object.fromEntries(own)
}
