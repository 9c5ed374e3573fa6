/** Plans a window: what, when, how often; and looks at what it would do before. */

import {
  Autocomplete,
  Button,
  Checkbox,
  Modal,
  Select,
  TagsInput,
  TextInput,
  Textarea,
} from '@mantine/core'
import { type FormEvent, useState } from 'react'

import { Problem } from '../../api/client'
import { useMaintenanceCreate, useMaintenancePreview } from '../../api/commands'
import { type Plan, RULES, bodyOf, inputTime } from '../../domain/maintenance'
import { Failure } from '../../ui/Failure'
import form from '../../ui/form.module.css'
import css from './Maintenance.module.css'
import { PreviewView } from './PreviewView'

const HOUR_MS = 3_600_000
const OWN_RULE = 'own'

export function PlanDialog({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  return (
    <Modal opened={isOpen} onClose={onClose} title="Plan maintenance" size="lg">
      <PlanForm onDone={onClose} />
    </Modal>
  )
}

function freshPlan(): Plan {
  const now = Math.ceil(Date.now() / 300_000) * 300_000
  return {
    title: '',
    note: '',
    elements: [],
    targets: [],
    tags: [],
    isAll: false,
    start: inputTime(now),
    end: inputTime(now + 2 * HOUR_MS),
    zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    rule: '',
    except: [],
  }
}

function PlanForm({ onDone }: { onDone: () => void }) {
  const [plan, setPlan] = useState<Plan>(freshPlan)
  const create = useMaintenanceCreate()
  const preview = useMaintenancePreview()
  const error = create.error ?? preview.error
  const change = (part: Partial<Plan>) => {
    setPlan((old) => ({ ...old, ...part }))
    preview.reset()
    create.reset()
  }
  const submit = (event: FormEvent) => {
    event.preventDefault()
    create.mutate(bodyOf(plan), { onSuccess: onDone })
  }
  return (
    <form className={form.form} onSubmit={submit}>
      <What plan={plan} error={error} onChange={change} />
      <When plan={plan} error={error} onChange={change} />
      <Textarea
        label="Note"
        description="What others should know"
        autosize
        minRows={2}
        maxRows={8}
        value={plan.note}
        onChange={(event) => {
          change({ note: event.currentTarget.value })
        }}
      />
      {preview.data !== undefined && (
        <div className={css.box} aria-live="polite">
          <PreviewView preview={preview.data} />
        </div>
      )}
      <Failure error={error} />
      <div className={form.actions}>
        <Button size="sm" variant="default" onClick={onDone}>
          Cancel
        </Button>
        <Button
          size="sm"
          variant="default"
          loading={preview.isPending}
          onClick={() => {
            create.reset()
            preview.mutate({ ...bodyOf(plan), title: plan.title.trim() || 'preview' })
          }}
        >
          Preview
        </Button>
        <Button size="sm" type="submit" loading={create.isPending}>
          Plan maintenance
        </Button>
      </div>
    </form>
  )
}

interface Part {
  plan: Plan
  error: Error | null
  onChange: (part: Partial<Plan>) => void
}

function reason(error: Error | null, field: string): string | undefined {
  return error instanceof Problem ? error.reasonFor(field) : undefined
}

function What({ plan, error, onChange }: Part) {
  return (
    <>
      <TextInput
        label="Title"
        placeholder="Core router upgrade"
        required
        withAsterisk={false}
        data-autofocus
        autoComplete="off"
        maxLength={120}
        value={plan.title}
        error={reason(error, 'title')}
        onChange={(event) => {
          onChange({ title: event.currentTarget.value })
        }}
      />
      <Checkbox
        label="Everything"
        checked={plan.isAll}
        onChange={(event) => {
          onChange({ isAll: event.currentTarget.checked })
        }}
      />
      {!plan.isAll && (
        <>
          <TagsInput
            label="Elements"
            description="Ids of the topology: a site, a device, a link. The targets behind them come along"
            placeholder={plan.elements.length === 0 ? 'r2, then Enter' : undefined}
            acceptValueOnBlur
            value={plan.elements}
            error={reason(error, 'covers')}
            onChange={(elements) => {
              onChange({ elements })
            }}
          />
          <div className={form.pair}>
            <TagsInput
              label="Targets"
              description="By name"
              acceptValueOnBlur
              value={plan.targets}
              onChange={(targets) => {
                onChange({ targets })
              }}
            />
            <TagsInput
              label="Tags"
              description="Every target that has one"
              acceptValueOnBlur
              value={plan.tags}
              onChange={(tags) => {
                onChange({ tags })
              }}
            />
          </div>
        </>
      )}
    </>
  )
}

function When({ plan, error, onChange }: Part) {
  const isKnown = RULES.some(({ value }) => value === plan.rule)
  const [isOwn, setOwn] = useState(!isKnown)
  const time = (field: 'start' | 'end', label: string) => (
    <TextInput
      type="datetime-local"
      label={label}
      required
      withAsterisk={false}
      value={plan[field]}
      error={reason(error, field)}
      onChange={(event) => {
        onChange({ [field]: event.currentTarget.value })
      }}
    />
  )
  return (
    <>
      <div className={form.pair}>
        {time('start', 'Start')}
        {time('end', 'End')}
      </div>
      <div className={form.pair}>
        <Autocomplete
          label="Zone"
          description="Its clocks say start and end"
          data={Intl.supportedValuesOf('timeZone')}
          limit={20}
          value={plan.zone}
          error={reason(error, 'zone')}
          onChange={(zone) => {
            onChange({ zone })
          }}
        />
        <Select
          label="Repeats"
          description="At the same clock time"
          allowDeselect={false}
          data={[...RULES, { value: OWN_RULE, label: 'By a rule of RFC 5545' }]}
          value={isOwn ? OWN_RULE : plan.rule}
          error={isOwn ? undefined : reason(error, 'rule')}
          onChange={(value) => {
            setOwn(value === OWN_RULE)
            if (value !== OWN_RULE) onChange({ rule: value ?? '' })
          }}
        />
      </div>
      {isOwn && (
        <TextInput
          label="Rule"
          placeholder="FREQ=MONTHLY;BYDAY=1SU"
          autoComplete="off"
          value={plan.rule}
          error={reason(error, 'rule')}
          onChange={(event) => {
            onChange({ rule: event.currentTarget.value })
          }}
        />
      )}
      {plan.rule !== '' && (
        <TagsInput
          label="Not on"
          description="Days that are left out"
          placeholder={plan.except.length === 0 ? '2026-12-24, then Enter' : undefined}
          acceptValueOnBlur
          value={plan.except}
          error={reason(error, 'except')}
          onChange={(except) => {
            onChange({ except })
          }}
        />
      )}
    </>
  )
}
