/**
 * The cause codes of a verdict, in a few words. The sentence with its numbers comes from the
 * server.
 */

const WORDS: Record<string, string> = {
  answering: 'answers within limits',
  no_answer: 'no answer',
  loss: 'packet loss',
  slow: 'slow replies',
  partial: 'only some agents get an answer',
  unconfirmed: 'no answer, and nobody else can check',
  not_yet: 'no round yet',
  silent: 'no rounds came in',
  no_agent: 'no agent assigned',
  agent_offline: 'agent offline',
  agent_blind: 'agent blind',
  not_asked_no_route: 'not asked: no route',
  not_asked_permission: 'not asked: no permission',
  not_asked_resolver: 'not asked: name not resolved',
  not_asked_buffer_full: 'not asked: send buffer full',
  not_asked_socket: 'not asked: socket error',
  not_asked_overrun: 'not asked: agent too late',
  paused: 'paused',
  monitor_down: 'monitor was down',
  doubtful: 'rounds are doubtful',
  minutes_missing: 'no minute recorded',
  dropped: 'dropped at the agent',
  expired: 'no longer kept',
}

/** Returns the words of a cause; a code of a newer server is shown as it is. */
export function causeWords(cause: string): string {
  return WORDS[cause] ?? cause.replaceAll('_', ' ')
}

/**
 * Returns why a round could not ask, in words. The codes are those of the cause without its
 * prefix.
 */
export function notAskedWords(reason: string): string {
  const code = reason.startsWith('not_asked_') ? reason : `not_asked_${reason}`
  return (WORDS[code] ?? reason.replaceAll('_', ' ')).replace('not asked: ', '')
}

const FLAGS: Record<string, string> = {
  doubtful: 'doubtful: the agent itself lagged',
  local: 'the agent’s own host',
  duplicate: 'duplicate replies',
  late: 'late reply',
  icmp_error: 'ICMP error',
  address_changed: 'name resolved to another address',
}

export function flagWords(flag: string): string {
  return FLAGS[flag] ?? flag.replaceAll('_', ' ')
}

/** Names of ICMP destination-unreachable codes (RFC 792) that operators meet. */
const UNREACHABLE_V4: Record<number, string> = {
  0: 'network unreachable',
  1: 'host unreachable',
  2: 'protocol unreachable',
  3: 'port unreachable',
  4: 'fragmentation needed',
  9: 'network prohibited',
  10: 'host prohibited',
  13: 'administratively prohibited',
}

/** The same for ICMPv6 (RFC 4443). */
const UNREACHABLE_V6: Record<number, string> = {
  0: 'no route',
  1: 'administratively prohibited',
  3: 'address unreachable',
  4: 'port unreachable',
}

/** Returns what an ICMP error says and who said it: often the router that knows why. */
export function icmpErrorWords(error: { type: number; code: number; source: string }): string {
  const isV6 = error.source.includes(':')
  let what: string | undefined
  if (isV6 && error.type === 1) what = UNREACHABLE_V6[error.code]
  if (!isV6 && error.type === 3) what = UNREACHABLE_V4[error.code]
  if (error.type === (isV6 ? 3 : 11)) what = 'time exceeded'
  return `${what ?? `ICMP type ${error.type} code ${error.code}`}, says ${error.source}`
}
