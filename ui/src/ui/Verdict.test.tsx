// @vitest-environment happy-dom
import { screen } from '@testing-library/react'
import { expect, test } from 'vitest'

import { VERDICTS, agentMark, verdictMark } from '../domain/verdict'
import { show } from '../testing'
import { MarkLabel } from './Verdict'

const MARKS = [
  ...VERDICTS.map((verdict) => verdictMark(verdict)),
  verdictMark('up', true),
  ...(['online', 'blind', 'offline', 'never_seen', 'awaited'] as const).map((state) =>
    agentMark(state),
  ),
]

test.each(MARKS)('$word is said by word and shape, and its colour is only added', (mark) => {
  const { container } = show(<MarkLabel mark={mark} />)
  expect(screen.getByText(mark.word)).toBeDefined()
  const label = container.querySelector(`.tone-${mark.tone}`)
  const shape = label?.querySelector('svg')
  expect(shape?.getAttribute('aria-hidden')).toBe('true')
  expect(shape?.querySelectorAll('path').length).toBe(2)
})

test('no two verdicts share a shape', () => {
  const shapes = VERDICTS.map((verdict) => {
    const { container, unmount } = show(<MarkLabel mark={verdictMark(verdict)} />)
    const paths = [...container.querySelectorAll('path')].map((path) => path.getAttribute('d'))
    unmount()
    return paths.join(' ')
  })
  expect(new Set(shapes).size).toBe(VERDICTS.length)
})
