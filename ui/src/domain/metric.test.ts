import { expect, test } from 'vitest'

import { type Samples, sparkOf, strokeOf } from './metric'

const bucket = (value: number | null, extra: Partial<Samples['buckets'][number]> = {}) => ({
  start: '2026-11-21T06:00:00Z',
  max: value,
  rate_per_s: null,
  cause: value === null ? 'silent' : null,
  is_open: false,
  ...extra,
})

const figure = { title: 'Lag', name: 'agent_send_lag_seconds', stat: 'max', scale: 1e6 }

test('a figure is one series, scaled; what is not known is no zero', () => {
  const labels = { stat: 'max' }
  const buckets = [bucket(0.002), bucket(null), bucket(0.001), bucket(null, { is_open: true })]
  const other = { name: figure.name, labels: { stat: 'p50' }, buckets: [bucket(9)] }
  const spark = sparkOf([other, { name: figure.name, labels, buckets }], figure)
  expect(spark).toEqual({
    values: [2000, null, 1000, null],
    most: 2000,
    latest: 1000,
    silent: [false, true, false, false],
  })
  expect(sparkOf([other], figure)).toBeNull()
})

test('a counter is drawn by its rate', () => {
  const buckets = [bucket(null, { rate_per_s: 20_000, cause: null })]
  const all = [{ name: 'agent_cpu_microseconds_total', labels: {}, buckets }]
  const cpu = { title: 'CPU', name: 'agent_cpu_microseconds_total', scale: 1e-4 }
  expect(sparkOf(all, cpu)?.latest).toBe(2)
})

test('a line ends where nothing is known, and begins again behind it', () => {
  const silent = [false, false, true, true, false]
  const spark = { values: [1, 2, null, null, 0], most: 2, latest: 0, silent }
  expect(strokeOf(spark, 50, 10)).toEqual({
    path: 'M0.0 5.0H10.0L10.0 0.0H20.0M40.0 10.0H50.0',
    blanks: [{ x: 20, width: 20 }],
  })
  const none = { values: [null], most: null, latest: null, silent: [true] }
  expect(strokeOf(none, 50, 10)).toEqual({ path: '', blanks: [{ x: 0, width: 50 }] })
})

test('what was known long ago is not the present, and what was never there is not missing', () => {
  const buckets = [bucket(null, { cause: 'not_yet' }), bucket(5), bucket(null), bucket(null)]
  const series = { name: figure.name, labels: { stat: 'max' }, buckets }
  const spark = sparkOf([series], figure)
  expect(spark?.latest).toBeNull()
  expect(spark?.silent).toEqual([false, false, true, true])
})
