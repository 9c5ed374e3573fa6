/** Breaks anything: a way, a place, and how much of it. */

import { Button, NumberInput, Select } from '@mantine/core'
import { type FormEvent, useState } from 'react'

import { Problem } from '../../api/client'
import { useFaultsBreak } from '../../api/commands'
import type { Desk, DeskKind } from '../../api/types'
import { faultWords, placeGroups } from '../../domain/desk'
import { Failure } from '../../ui/Failure'
import { Icon } from '../../ui/Icon'
import { Panel } from '../../ui/Panel'
import css from './Desk.module.css'

/** Places shown while somebody types. */
const SHOWN_MAX = 60

export function Breaker({ desk }: { desk: Desk }) {
  const [kind, setKind] = useState(desk.kinds[0]?.kind ?? '')
  const chosen = desk.kinds.find((of) => of.kind === kind)
  return (
    <Panel title="Break something">
      <fieldset className={css.kinds}>
        <legend className="visually-hidden">How</legend>
        {desk.kinds.map((of) => (
          <Way
            key={of.kind}
            kind={of.kind}
            isChosen={of.kind === kind}
            onChoose={() => {
              setKind(of.kind)
            }}
          />
        ))}
      </fieldset>
      {chosen !== undefined && <Where key={chosen.kind} desk={desk} kind={chosen} />}
    </Panel>
  )
}

interface WayProps {
  kind: string
  isChosen: boolean
  onChoose: () => void
}

function Way({ kind, isChosen, onChoose }: WayProps) {
  const words = faultWords(kind)
  return (
    <label className={css.way} data-chosen={isChosen || undefined}>
      <input
        type="radio"
        name="fault-kind"
        className="visually-hidden"
        checked={isChosen}
        onChange={onChoose}
      />
      <Icon name={words.icon} size={18} />
      <span>
        {words.title}
        <small>{words.hint}</small>
      </span>
    </label>
  )
}

function Where({ desk, kind }: { desk: Desk; kind: DeskKind }) {
  const [element, setElement] = useState<string | null>(kind.example)
  const [size, setSize] = useState<number | string>(kind.size?.default ?? '')
  const begin = useFaultsBreak()
  const reason = (field: string) =>
    begin.error instanceof Problem ? begin.error.reasonFor(`faults[0].${field}`) : undefined
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (element === null) return
    const measure = kind.size === null ? {} : { size: Number(size) }
    begin.mutate([{ kind: kind.kind, element, ...measure }])
  }
  return (
    <form className={css.where} onSubmit={submit}>
      <Select
        label="Where"
        searchable
        allowDeselect={false}
        limit={SHOWN_MAX}
        nothingFoundMessage="There is no such place"
        data={placeGroups(desk.places, kind.element)}
        value={element}
        error={reason('element')}
        onChange={(value) => {
          begin.reset()
          setElement(value)
        }}
      />
      {kind.size !== null && (
        <NumberInput
          label={`How much, ${kind.size.unit}`}
          min={1}
          max={kind.size.max}
          clampBehavior="strict"
          allowDecimal={false}
          value={size}
          error={reason('size')}
          onChange={(value) => {
            begin.reset()
            setSize(value)
          }}
        />
      )}
      <Button type="submit" loading={begin.isPending} disabled={element === null}>
        Break it
      </Button>
      {begin.error !== null &&
        reason('element') === undefined &&
        reason('size') === undefined && <Failure error={begin.error} />}
    </form>
  )
}
