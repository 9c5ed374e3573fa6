/** What is described of the network: its kinds, and files of it. */

export const KINDS = [
  { kind: 'site', label: 'Sites' },
  { kind: 'device', label: 'Devices' },
  { kind: 'link', label: 'Links' },
  { kind: 'upstream', label: 'Upstreams' },
  { kind: 'srlg', label: 'Shared risks' },
  { kind: 'agent', label: 'Agents' },
  { kind: 'target', label: 'Targets' },
] as const

export type Kind = (typeof KINDS)[number]['kind']

export interface TopologySearch {
  /** What is listed; devices, if left out. `points` are the single points of failure. */
  kind?: Kind | 'points'
  q?: string
  /** What is asked: what would be lost without it. */
  lose?: string
  /** The device that is looked at. */
  about?: string
  dialog?: 'import'
}

export function parseTopologySearch(search: Record<string, unknown>): TopologySearch {
  const text = (key: string) => {
    const value = search[key]
    if (typeof value === 'number') return String(value)
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  const kinds = [...KINDS.map(({ kind }) => kind), 'points' as const]
  return {
    kind: kinds.find((kind) => kind === search['kind']),
    q: text('q'),
    lose: text('lose'),
    about: text('about'),
    dialog: search['dialog'] === 'import' ? 'import' : undefined,
  }
}

/** In the order in which they are offered; all that the server reads. */
export const FORMATS = ['csv', 'yaml', 'json', 'graphml', 'topohub'] as const
export type Format = (typeof FORMATS)[number]

export interface TopologyFile {
  text: string
  format: Format
  mode: 'merge' | 'replace'
}

/** The largest file that the server takes. */
export const TOPOLOGY_BYTES_MAX = 64 * 1024 * 1024

/** What a text is, as far as one can see. */
export function formatOf(text: string, name = ''): Format {
  const head = text.trimStart().slice(0, 2_000)
  if (head.startsWith('<')) return 'graphml'
  if (head.startsWith('{')) {
    // Its graphs have nodes and edges; ours have elements.
    return head.includes('"nodes"') && !head.includes('"elements"') ? 'topohub' : 'json'
  }
  if (/\.ya?ml$/i.test(name)) return 'yaml'
  if (/\.csv$/i.test(name)) return 'csv'
  return /^(version|elements|targets)\s*:/m.test(head) ? 'yaml' : 'csv'
}
