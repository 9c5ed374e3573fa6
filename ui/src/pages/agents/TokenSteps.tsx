/** The one-time token: the command that carries it, how long it lives, and whether it was used. */

import { useQuery } from '@tanstack/react-query'

import { agentsQuery } from '../../api/queries'
import type { EnrolToken } from '../../api/types'
import { duration } from '../../domain/units'
import { agentMark } from '../../domain/verdict'
import { CopyBlock } from '../../ui/CopyBlock'
import { MarkLabel } from '../../ui/Verdict'
import { useNow } from '../../ui/clock'
import css from './AgentsPage.module.css'

/** Below this the rest of the token's life is shown as urgent. */
const LATE_MS = 60_000

export function TokenSteps({ agentId, token }: { agentId: number; token: EnrolToken }) {
  const now = useNow()
  const { data } = useQuery(agentsQuery)
  const agent = data?.items.find((one) => one.id === agentId)
  const left = Date.parse(token.expires_at) - now
  return (
    <div className={css.steps}>
      <p>Type this on the agent’s host. It works once, and it is shown only now.</p>
      <CopyBlock text={token.command} label="Command for the agent’s host" />
      {token.warning && <p role="note">Note: {token.warning}.</p>}
      <p className={css.countdown} role="timer" data-late={left < LATE_MS || undefined}>
        {left > 0
          ? `The token expires in ${duration(left)}.`
          : 'The token has expired: make a new one.'}
      </p>
      {agent && (
        <p className={css.arrived} role="status">
          {agent.name}: <MarkLabel mark={agentMark(agent.state)} />
        </p>
      )}
    </div>
  )
}
