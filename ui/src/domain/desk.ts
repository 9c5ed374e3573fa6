/** The demo's fault desk in words: what can be broken, and where it shows best. */

import type { Desk, DeskPlace, FaultOrder } from '../api/types'

export type FaultIcon =
  'cut' | 'router' | 'power' | 'lossy' | 'slow' | 'agents' | 'upload' | 'flap' | 'dig' | 'warning'

export interface FaultWords {
  title: string
  hint: string
  icon: FaultIcon
}

/** How a person calls a way to break something. */
export function faultWords(kind: string): FaultWords {
  switch (kind) {
    case 'link-cut':
      return { title: 'Cut a link', hint: 'A digger, a moved cable', icon: 'cut' }
    case 'router-stopped':
      return { title: 'Stop a router', hint: 'A crash, a bad upgrade', icon: 'router' }
    case 'site-dark':
      return { title: "Take a site's power", hint: 'All that stands there', icon: 'power' }
    case 'link-lossy':
      return { title: 'Make a link lossy', hint: 'Dirty optics, a bad radio', icon: 'lossy' }
    case 'link-slow':
      return { title: 'Make a link slow', hint: 'A queue that is full', icon: 'slow' }
    case 'agent-isolated':
      return { title: 'Isolate an agent', hint: 'The monitor, half blind', icon: 'agents' }
    case 'upstream-gone':
      return { title: 'Lose an upstream', hint: 'And everything beyond it', icon: 'upload' }
    case 'link-flaps':
      return { title: 'Let a link flap', hint: 'Down, up, down, up', icon: 'flap' }
    case 'conduit-dug':
      return { title: 'Dig up a conduit', hint: 'Two lines, one trench', icon: 'dig' }
    default:
      return { title: kind, hint: 'A fault this console does not know', icon: 'warning' }
  }
}

/** What two failures at once are drawn from: of different places, so that they are two causes. */
export function twoAtOnce(desk: Desk): FaultOrder[] {
  const example = (kind: string) => desk.kinds.find((of) => of.kind === kind)?.example
  const router = example('router-stopped')
  const upstream = example('upstream-gone')
  if (router === undefined || upstream === undefined) return []
  return [
    { kind: 'router-stopped', element: router },
    { kind: 'upstream-gone', element: upstream },
  ]
}

/** The places of a kind, in groups a person finds them by: their role, then by name. */
export function placeGroups(
  places: readonly DeskPlace[],
  kind: string,
): { group: string; items: string[] }[] {
  const groups = new Map<string, string[]>()
  for (const place of places.filter((of) => of.kind === kind)) {
    const group = kind === 'link' ? linkGroup(place.id) : roleGroup(place.role)
    groups.set(group, [...(groups.get(group) ?? []), place.id])
  }
  return [...groups.entries()]
    .map(([group, items]) => ({ group, items: items.sort((a, b) => a.localeCompare(b)) }))
    .sort((a, b) => ORDER.indexOf(a.group) - ORDER.indexOf(b.group))
}

const ORDER = ['Between cities', 'Core', 'Aggregation', 'Concentrator', 'Access', 'Within a city']

function roleGroup(role: string | null): string {
  return role === null ? 'All' : role.charAt(0).toUpperCase() + role.slice(1)
}

/** A link's id names its ends, and a device's name begins with its city. */
function linkGroup(id: string): string {
  const [a, b] = id.split('--').map((end) => end.split('-')[0])
  return a === b ? 'Within a city' : 'Between cities'
}

/** Whether all of a stop's faults are broken now, and the numbers to mend them by. */
export function brokenOf(desk: Desk, faults: readonly FaultOrder[]): number[] | null {
  const ids = faults.map(
    (fault) =>
      desk.active.find((of) => of.kind === fault.kind && of.element === fault.element)?.id,
  )
  return ids.every((id) => id !== undefined) ? ids : null
}
