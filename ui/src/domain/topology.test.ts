import { describe, expect, it } from 'vitest'

import { formatOf, parseTopologySearch } from './topology'

describe('a file of the network', () => {
  it('is known by what stands in it, and by its name where that says more', () => {
    expect(formatOf('kind,id\ndevice,r1')).toBe('csv')
    expect(formatOf('version: 1\nelements:\n')).toBe('yaml')
    expect(formatOf('# ours\nfoo: 1', 'net.yml')).toBe('yaml')
    expect(formatOf(' {"elements": []}')).toBe('json')
    expect(formatOf('{"directed": false, "nodes": []}')).toBe('topohub')
    expect(formatOf('<?xml version="1.0"?><graphml/>')).toBe('graphml')
  })

  it('has an address that takes what it knows', () => {
    expect(parseTopologySearch({ kind: 'link', q: 12, dialog: 'x' })).toEqual({
      kind: 'link',
      q: '12',
    })
    expect(parseTopologySearch({ kind: 'points', lose: 'r1' })).toEqual({
      kind: 'points',
      lose: 'r1',
    })
  })
})
