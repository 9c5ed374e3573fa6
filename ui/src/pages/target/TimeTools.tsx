/** Which span is shown, what it is compared with, and where its values are had. */

import { ActionIcon, Button, NativeSelect, SegmentedControl } from '@mantine/core'
import { useNavigate, useSearch } from '@tanstack/react-router'

import { historyCsvUrl } from '../../api/queries'
import {
  COMPARISONS,
  COMPARISON_WORDS,
  type Comparison,
  RANGES,
  type Range,
  moved,
  settled,
  zoomed,
} from '../../domain/view'
import { Icon } from '../../ui/Icon'
import { useMinute } from '../../ui/clock'
import css from './TimePanel.module.css'
import type { Span } from './useSpan'

interface Props {
  id: number
  span: Span
  level: string | undefined
  isPhone: boolean
}

export function TimeTools({ id, span, level, isPhone }: Props) {
  const minute = useMinute()
  const { vs, table } = useSearch({ from: '/inside/targets/$id' })
  const navigate = useNavigate()
  const { view, range, isLive, show, showLast, reset } = span
  const length = view.to - view.from
  const change = (next: { vs?: Comparison; table?: 'shown' }) => {
    void navigate({
      to: '.',
      search: (old) => ({ ...old, ...next }),
      replace: true,
      resetScroll: false,
    })
  }
  const stretch = (factor: number) => {
    // What is live is stretched from the present, else from the middle.
    const around = isLive ? view.to : (view.from + view.to) / 2
    show(settled(zoomed(view, around, factor), minute))
  }
  return (
    <div className={css.tools}>
      <SegmentedControl
        size="xs"
        aria-label="Span"
        fullWidth={isPhone}
        value={range !== null && isLive ? range : ''}
        data={[...RANGES]}
        onChange={(next) => {
          showLast(next as Range)
        }}
      />
      <div className={css.group}>
        <Tool
          label="Earlier"
          icon="chevron"
          isTurned
          onPress={() => {
            show(settled(moved(view, -length / 2, minute), minute))
          }}
        />
        <Tool
          label="Later"
          icon="chevron"
          isOff={isLive}
          onPress={() => {
            show(settled(moved(view, length / 2, minute), minute))
          }}
        />
        <Tool
          label="Closer"
          icon="plus"
          onPress={() => {
            stretch(0.5)
          }}
        />
        <Tool
          label="Wider"
          icon="minus"
          onPress={() => {
            stretch(2)
          }}
        />
        {!(range !== null && isLive) && (
          <Button size="compact-xs" variant="default" onClick={reset}>
            Back to now
          </Button>
        )}
      </div>
      <div className={css.more}>
        <NativeSelect
          size="xs"
          aria-label="Compare with"
          value={vs ?? ''}
          data={[
            { value: '', label: 'Compare with…' },
            ...COMPARISONS.map((value) => ({ value, label: COMPARISON_WORDS[value] })),
          ]}
          onChange={(event) => {
            const { value } = event.currentTarget
            change({ vs: COMPARISONS.find((known) => known === value) })
          }}
        />
        <Button
          size="compact-sm"
          variant="default"
          aria-pressed={table === 'shown'}
          onClick={() => {
            change({ table: table === 'shown' ? undefined : 'shown' })
          }}
        >
          Table
        </Button>
        <Button
          component="a"
          size="compact-sm"
          variant="default"
          href={historyCsvUrl(id, { ...view, level })}
          download
          title="The shown values of all agents, as the API gives them"
        >
          CSV
        </Button>
      </div>
    </div>
  )
}

interface ToolProps {
  label: string
  icon: 'chevron' | 'plus' | 'minus'
  isTurned?: boolean
  isOff?: boolean
  onPress: () => void
}

function Tool({ label, icon, isTurned = false, isOff = false, onPress }: ToolProps) {
  return (
    <ActionIcon variant="default" size={28} aria-label={label} disabled={isOff} onClick={onPress}>
      <span style={{ display: 'inline-flex', rotate: isTurned ? '180deg' : '0deg' }}>
        <Icon name={icon} size={12} />
      </span>
    </ActionIcon>
  )
}
