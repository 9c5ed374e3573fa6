/** The agents: who asks from where, how well it does, and what to do when it does not. */

import { ActionIcon, Button, Menu } from '@mantine/core'
import { useSuspenseQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useState } from 'react'

import { useAgentChange } from '../../api/commands'
import { agentsQuery } from '../../api/queries'
import type { Agent } from '../../api/types'
import { agentConcerns } from '../../domain/agent'
import { bytes, count, lag, many, offset } from '../../domain/units'
import { agentMark } from '../../domain/verdict'
import { Icon } from '../../ui/Icon'
import { Empty, Fact, Facts, PageHeader, Panel } from '../../ui/Panel'
import { Age, Moment } from '../../ui/Time'
import { MarkLabel } from '../../ui/Verdict'
import { Words } from '../../ui/Words'
import { useNow } from '../../ui/clock'
import { useCan } from '../../ui/session'
import css from './AgentsPage.module.css'
import { AgentHistory } from './AgentHistory'
import { AgentRemoval, type Removal } from './AgentRemoval'
import { CreateAgent } from './CreateAgent'
import { EditAgent } from './EditAgent'
import { NewToken } from './NewToken'

export default function AgentsPage() {
  const { data } = useSuspenseQuery(agentsQuery)
  const { dialog } = useSearch({ from: '/inside/agents' })
  const navigate = useNavigate()
  const mayWrite = useCan('agent_write')
  const [removal, setRemoval] = useState<Removal | null>(null)
  const [toEnrol, setToEnrol] = useState<Agent | null>(null)
  const [toEdit, setToEdit] = useState<Agent | null>(null)
  const change = useAgentChange({ hasNoForm: true })
  const online = data.items.filter((agent) => agent.state === 'online').length
  return (
    <>
      <PageHeader
        title="Agents"
        lead={
          data.items.length > 0 &&
          `${count(online)} of ${many(data.items.length, 'agent')} online. Agents ask, the server judges.`
        }
        actions={mayWrite && data.items.length > 0 && <Create />}
      />
      {data.items.length === 0 && (
        <Panel>
          <Empty title="No agent asks yet" action={mayWrite && <Create />}>
            An agent is a small process at a point of presence that sends the probes. Create one
            here, and type the command it shows on the agent’s host.
          </Empty>
        </Panel>
      )}
      <ul className={css.list}>
        {data.items.map((agent) => (
          <li key={agent.id}>
            <AgentCard
              agent={agent}
              menu={
                mayWrite && (
                  <AgentMenu
                    agent={agent}
                    onEdit={setToEdit}
                    onPause={({ id, is_paused }) => {
                      change.mutate({ id, is_paused: !is_paused })
                    }}
                    onEnrol={setToEnrol}
                    onRemove={setRemoval}
                  />
                )
              }
              onEnrol={mayWrite ? setToEnrol : undefined}
            />
          </li>
        ))}
      </ul>
      {mayWrite && (
        <>
          <CreateAgent
            isOpen={dialog === 'create'}
            onClose={() => void navigate({ to: '/agents', search: {}, replace: true })}
          />
          <NewToken
            agent={toEnrol}
            onClose={() => {
              setToEnrol(null)
            }}
          />
          <EditAgent
            agent={toEdit}
            onClose={() => {
              setToEdit(null)
            }}
          />
          <AgentRemoval
            removal={removal}
            onClose={() => {
              setRemoval(null)
            }}
          />
        </>
      )}
    </>
  )
}

function Create() {
  return (
    <Button
      leftSection={<Icon name="plus" />}
      renderRoot={(props) => <Link to="/agents" search={{ dialog: 'create' }} {...props} />}
    >
      Create agent
    </Button>
  )
}

interface CardProps {
  agent: Agent
  menu: React.ReactNode
  onEnrol: ((agent: Agent) => void) | undefined
}

function AgentCard({ agent, menu, onEnrol }: CardProps) {
  const now = useNow()
  const concerns = agentConcerns(agent, now)
  const isNew = agent.state === 'never_seen'
  return (
    <article className={css.card} aria-label={agent.name} data-row tabIndex={-1}>
      <header className={css.head}>
        <h2>{agent.name}</h2>
        <MarkLabel mark={agentMark(agent.state, agent.is_paused)} />
        <span className={css.since}>
          for <Age at={agent.state_since} />
        </span>
        <span className={css.menu}>{menu}</span>
      </header>
      {agent.state !== 'online' && !isNew && <p className={css.why}>{agent.state_why}</p>}
      {concerns.map((concern) => (
        <p key={concern.what} className={`${css.concern} tone-${concern.tone}`}>
          <Icon name="warning" size={14} />
          <span>
            <Words text={concern.what} />
            {concern.remedy !== null && (
              <small>
                <Words text={concern.remedy} />
              </small>
            )}
          </span>
        </p>
      ))}
      {isNew ? (
        <p className={css.why}>
          It was created <Age at={agent.created_at} /> ago and has not enrolled.{' '}
          {onEnrol && (
            <button
              type="button"
              className={css.link}
              onClick={() => {
                onEnrol(agent)
              }}
            >
              Make a new token
            </button>
          )}
        </p>
      ) : (
        <>
          <Vitals agent={agent} />
          <AgentHistory agent={agent} />
        </>
      )}
      <About agent={agent} />
    </article>
  )
}

function Vitals({ agent }: { agent: Agent }) {
  return (
    <Facts>
      <Fact label="Probes">{count(agent.probes)}</Fact>
      <Fact label="Heartbeat">
        <Age at={agent.last_heartbeat_at} suffix=" ago" />
      </Fact>
      <Fact label="Backlog" hint={agent.backlog_batches > 0 && bytes(agent.backlog_bytes)}>
        {agent.backlog_batches === 0 ? 'none' : many(agent.backlog_batches, 'batch', 'batches')}
      </Fact>
      <Fact label="Clock offset">{offset(agent.clock_offset_ms)}</Fact>
      <Fact label="Send lag" hint={`at most ${lag(agent.send_lag_us_max)}`}>
        {lag(agent.send_lag_us_p50)}
      </Fact>
      <Fact label="Kernel drops">{count(agent.kernel_drops)}</Fact>
      <Fact label="Socket errors">{count(agent.socket_errors)}</Fact>
      <Fact label="Strange replies">{count(agent.strange_replies)}</Fact>
    </Facts>
  )
}

/** What it is, and whom it asks to know that it sees; a new one has no host yet. */
function About({ agent }: { agent: Agent }) {
  const { certificate, hostname, version } = agent
  const isNew = agent.state === 'never_seen'
  return (
    <dl className={css.about}>
      {!isNew && (
        <>
          <dt>Host</dt>
          <dd>
            {hostname ?? 'unknown'}
            {agent.connected_from && <small>, from {agent.connected_from}</small>}
          </dd>
          <dt>Version</dt>
          <dd>
            {version ?? 'unknown'}
            {agent.os && <small>, {agent.os}</small>}
          </dd>
        </>
      )}
      <dt>Witnesses</dt>
      <dd>{agent.witnesses.length === 0 ? 'its gateway only' : agent.witnesses.join(', ')}</dd>
      {!isNew && (
        <>
          <dt>Certificate</dt>
          <dd>
            {certificate === null ? (
              'none'
            ) : certificate.status === 'active' ? (
              <>
                until <Moment at={certificate.not_after} style="day" />
                <small>, serial {certificate.serial.slice(0, 12)}</small>
              </>
            ) : (
              certificate.status
            )}
          </dd>
        </>
      )}
    </dl>
  )
}

interface MenuProps {
  agent: Agent
  onEdit: (agent: Agent) => void
  onPause: (agent: Agent) => void
  onEnrol: (agent: Agent) => void
  onRemove: (removal: Removal) => void
}

function AgentMenu({ agent, onEdit, onPause, onEnrol, onRemove }: MenuProps) {
  return (
    <Menu position="bottom-end" width={190}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={`Actions on ${agent.name}`}>
          <Icon name="more" />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item
          leftSection={<Icon name="edit" />}
          onClick={() => {
            onEdit(agent)
          }}
        >
          Edit
        </Menu.Item>
        <Menu.Item
          leftSection={<Icon name="key" />}
          onClick={() => {
            onEnrol(agent)
          }}
        >
          New token
        </Menu.Item>
        <Menu.Item
          leftSection={<Icon name={agent.is_paused ? 'play' : 'clock'} />}
          onClick={() => {
            onPause(agent)
          }}
        >
          {agent.is_paused ? 'Resume' : 'Pause'}
        </Menu.Item>
        <Menu.Divider />
        {agent.certificate?.status === 'active' && (
          <Menu.Item
            color="var(--bad)"
            leftSection={<Icon name="close" />}
            onClick={() => {
              onRemove({ agent, kind: 'revoke' })
            }}
          >
            Revoke certificate
          </Menu.Item>
        )}
        <Menu.Item
          color="var(--bad)"
          leftSection={<Icon name="trash" />}
          onClick={() => {
            onRemove({ agent, kind: 'delete' })
          }}
        >
          Delete
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}
