/** The agents in one line: who asks and who cannot; and what stops one from working, in full. */

import { Button } from '@mantine/core'
import { Link } from '@tanstack/react-router'

import type { Agent } from '../../api/types'
import { agentConcerns } from '../../domain/agent'
import { many } from '../../domain/units'
import { agentMark } from '../../domain/verdict'
import { Icon } from '../../ui/Icon'
import { Empty, Panel } from '../../ui/Panel'
import { Age } from '../../ui/Time'
import { MarkLabel } from '../../ui/Verdict'
import { Words } from '../../ui/Words'
import { useNow } from '../../ui/clock'
import { useCan } from '../../ui/session'
import css from './lists.module.css'

/** What needs a person stands first. */
const ORDER = { blind: 0, offline: 1, awaited: 2, never_seen: 3, online: 4 } as const
/** More would push the targets off a wall. */
const CHIPS_MAX = 12
const CONCERNS_MAX = 3

export function AgentStrip({ agents }: { agents: readonly Agent[] }) {
  const now = useNow()
  if (agents.length === 0) return <NoAgent />
  const sorted = [...agents].sort(
    (a, b) => ORDER[a.state] - ORDER[b.state] || a.name.localeCompare(b.name),
  )
  const stopped = sorted
    .flatMap((agent) => agentConcerns(agent, now).map((concern) => ({ agent, concern })))
    .filter(({ concern }) => concern.tone === 'bad')
  const rest = sorted.length - CHIPS_MAX
  return (
    <section className={css.strip} aria-label="Agents">
      <div className={css.chips}>
        <h2>Agents</h2>
        {sorted.slice(0, CHIPS_MAX).map((agent) => (
          <Link key={agent.id} to="/agents" className={css.chip} title={agent.state_why}>
            <b>{agent.name}</b>
            <MarkLabel mark={agentMark(agent.state, agent.is_paused)} size="sm" />
            {agent.state !== 'online' && (
              <small>
                <Age at={agent.state_since} isShort />
              </small>
            )}
          </Link>
        ))}
        {rest > 0 && <Link to="/agents">{many(rest, 'more agent')}</Link>}
      </div>
      {stopped.length > 0 && (
        <ul className={css.concerns}>
          {stopped.slice(0, CONCERNS_MAX).map(({ agent, concern }) => (
            <li
              key={`${agent.id} ${concern.what}`}
              className={`${css.concern} tone-${concern.tone}`}
            >
              <Icon name="warning" size={14} />
              <span>
                <b>{agent.name}:</b> <Words text={concern.what} />
              </span>
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}

function NoAgent() {
  const mayCreate = useCan('agent_write')
  return (
    <div style={{ marginBlock: 16 }}>
      <Panel>
        <Empty
          title="No agent asks yet"
          action={
            mayCreate && (
              <Button
                renderRoot={(props) => (
                  <Link to="/agents" search={{ dialog: 'create' }} {...props} />
                )}
              >
                Create the first agent
              </Button>
            )
          }
        >
          Without an agent every target stays unknown.
        </Empty>
      </Panel>
    </div>
  )
}
