/**
 * Round-trip time over minutes: the band from fastest to slowest, the mean as a line whose pieces
 * carry the loss by colour and dot size, and hatching with its cause where there is no evidence.
 *
 * A canvas says nothing to a screen reader: the cells of the strips say the same in words.
 */

import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { useEffect, useEffectEvent, useRef } from 'react'

import { causeWords } from '../domain/cause'
import { LOSS_MARKS, type LossMark, lossStep } from '../domain/loss'
import { MINUTE_MS, type Zone, timeText } from '../domain/time'
import { type Cell, type Hole, holes } from '../domain/timeline'
import { loss, rtt } from '../domain/units'
import css from './LatencyChart.module.css'

interface Props {
  label: string
  row: readonly Cell[]
  from: number
  to: number
  tickAt: readonly number[]
  zone: Zone
  /** Changes when the colours do. */
  scheme: string
  /** Room for the axis, so that the plot stands under the strips. */
  gutterPx: number
  onChoose: (at: number) => void
}

const HEIGHT_PX = 200
const LINE_PX = 1.8

/** Minutes as uPlot wants them: seconds and milliseconds; null is a gap, never zero. */
function columns(row: readonly Cell[]): uPlot.AlignedData {
  const ms = (us: number | null | undefined) => (us == null ? null : us / 1000)
  const answered = (cell: Cell) =>
    cell.truth !== null && cell.truth.received > 0 ? cell.truth : null
  return [
    row.map((cell) => (cell.at + MINUTE_MS / 2) / 1000),
    row.map((cell) => ms(answered(cell)?.rtt_us_min)),
    row.map((cell) => ms(answered(cell)?.rtt_us_max)),
    row.map((cell) => ms(answered(cell)?.rtt_us_mean)),
  ]
}

function markOf(cell: Cell | undefined): LossMark {
  const truth = cell?.truth
  const step = truth ? lossStep(truth.sent, truth.received) : 'none'
  return LOSS_MARKS.find((mark) => mark.step === step) ?? (LOSS_MARKS[0] as LossMark)
}

type Ink = (name: string) => string

function inkOf(element: HTMLElement): Ink {
  const style = getComputedStyle(element)
  return (name) => style.getPropertyValue(name).trim()
}

function hatch(plot: uPlot, hole: Hole, ink: Ink): void {
  const { ctx, bbox } = plot
  const scale = devicePixelRatio
  const left = Math.max(plot.valToPos(hole.from / 1000, 'x', true), bbox.left)
  const right = Math.min(plot.valToPos(hole.to / 1000, 'x', true), bbox.left + bbox.width)
  if (right <= left) return
  ctx.save()
  ctx.beginPath()
  ctx.rect(left, bbox.top, right - left, bbox.height)
  ctx.clip()
  ctx.fillStyle = ink('--hatch-gap')
  ctx.fillRect(left, bbox.top, right - left, bbox.height)
  ctx.strokeStyle = ink('--hatch-ink')
  ctx.globalAlpha = 0.55
  ctx.lineWidth = scale
  ctx.beginPath()
  for (let x = left - bbox.height; x < right; x += 7 * scale) {
    ctx.moveTo(x, bbox.top + bbox.height)
    ctx.lineTo(x + bbox.height, bbox.top)
  }
  ctx.stroke()
  ctx.globalAlpha = 1
  nameHole(ctx, causeWords(hole.cause), { left, right, top: bbox.top, height: bbox.height }, ink)
  ctx.restore()
}

/**
 * Writes the cause into its hole: across if there is room, else upright, else only the tip says
 * it.
 */
function nameHole(
  ctx: CanvasRenderingContext2D,
  words: string,
  hole: { left: number; right: number; top: number; height: number },
  ink: Ink,
): void {
  const scale = devicePixelRatio
  ctx.font = `${11.5 * scale}px ${ink('--font')}`
  const length = ctx.measureText(words).width + 10 * scale
  const line = 17 * scale
  const isAcross = length < hole.right - hole.left
  if (!isAcross && (hole.right - hole.left < line || hole.height < length)) return
  ctx.translate((hole.left + hole.right) / 2, hole.top + hole.height / 2)
  if (!isAcross) ctx.rotate(-Math.PI / 2)
  ctx.fillStyle = ink('--hatch-gap')
  ctx.fillRect(-length / 2, -line / 2, length, line)
  ctx.fillStyle = ink('--ink-2')
  ctx.textAlign = 'center'
  ctx.textBaseline = 'middle'
  ctx.fillText(words, 0, 0)
}

function drawTicks(plot: uPlot, tickAt: readonly number[], ink: Ink): void {
  const { ctx, bbox } = plot
  ctx.save()
  ctx.strokeStyle = ink('--line')
  ctx.lineWidth = devicePixelRatio
  ctx.beginPath()
  for (const at of tickAt) {
    const x = Math.round(plot.valToPos(at / 1000, 'x', true)) + 0.5
    ctx.moveTo(x, bbox.top)
    ctx.lineTo(x, bbox.top + bbox.height)
  }
  ctx.stroke()
  ctx.restore()
}

/** The line in pieces: each has the colour of the minute it leads to. */
function drawMean(plot: uPlot, row: readonly Cell[], ink: Ink): void {
  const { ctx, bbox } = plot
  const scale = devicePixelRatio
  const xs = plot.data[0]
  const means = plot.data[3] ?? []
  const point = (i: number): [number, number] | null => {
    const mean = means[i]
    const x = xs[i]
    return mean == null || x === undefined
      ? null
      : [plot.valToPos(x, 'x', true), plot.valToPos(mean, 'y', true)]
  }
  ctx.save()
  ctx.lineWidth = LINE_PX * scale
  ctx.lineCap = 'round'
  ctx.lineJoin = 'round'
  const isDense = xs.length > 400
  for (let i = 0; i < xs.length; i += 1) {
    const here = point(i)
    const mark = markOf(row[i])
    const colour = ink(`--loss-${mark.step}`)
    if (here === null) {
      if (mark.step === 'all')
        drawAllLost(ctx, plot.valToPos(xs[i] ?? 0, 'x', true), bbox, colour)
      continue
    }
    const before = i > 0 ? point(i - 1) : null
    ctx.strokeStyle = colour
    ctx.fillStyle = colour
    if (before !== null) {
      ctx.beginPath()
      ctx.moveTo(...before)
      ctx.lineTo(...here)
      ctx.stroke()
    }
    const isAlone = before === null && point(i + 1) === null
    const radius = isAlone ? Math.max(mark.radius, 2) : isDense ? mark.radius * 0.6 : mark.radius
    if (radius > 0) {
      ctx.beginPath()
      ctx.arc(here[0], here[1], radius * scale, 0, Math.PI * 2)
      ctx.fill()
    }
  }
  ctx.restore()
}

/** Asked and not answered at all: a cross on the ground, where no line can be. */
function drawAllLost(
  ctx: CanvasRenderingContext2D,
  x: number,
  bbox: uPlot.BBox,
  colour: string,
): void {
  const size = 3.4 * devicePixelRatio
  const y = bbox.top + bbox.height - size * 2
  ctx.strokeStyle = colour
  ctx.beginPath()
  ctx.moveTo(x - size, y - size)
  ctx.lineTo(x + size, y + size)
  ctx.moveTo(x + size, y - size)
  ctx.lineTo(x - size, y + size)
  ctx.stroke()
}

/** Values of the axis, with as many digits as the step between them needs. */
function axisValues(_: uPlot, splits: number[]): string[] {
  const step = (splits[1] ?? 1) - (splits[0] ?? 0)
  const digits = [0, 1, 2].find((n) => Math.abs(step - Number(step.toFixed(n))) < step / 100) ?? 3
  return splits.map((value) => value.toFixed(digits))
}

/** Room above the highest value, and never a scale so narrow that noise looks like trouble. */
function yRange(_: uPlot, __: number | null, max: number | null): uPlot.Range.MinMax {
  return [0, Math.max((max ?? 1) * 1.15, 0.2)]
}

export function LatencyChart(props: Props) {
  const { label, row, from, to, tickAt, scheme, gutterPx } = props
  const host = useRef<HTMLDivElement>(null)
  const tip = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const latest = useRef(props)
  useEffect(() => {
    latest.current = props
  })
  const choose = useEffectEvent((at: number) => {
    props.onChoose(at)
  })

  useEffect(() => {
    const element = host.current
    if (element === null) return
    const ink = inkOf(element)
    const clear = { stroke: 'transparent', width: 0, points: { show: false } }
    const options: uPlot.Options = {
      width: element.clientWidth,
      height: HEIGHT_PX,
      padding: [8, 0, 8, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: () => [latest.current.from / 1000, latest.current.to / 1000] },
        y: { range: yRange },
      },
      axes: [
        { show: false },
        {
          size: gutterPx,
          gap: 6,
          stroke: ink('--ink-3'),
          font: `12px ${ink('--font')}`,
          grid: { stroke: ink('--line'), width: 1 },
          ticks: { show: false },
          space: 34,
          values: axisValues,
        },
      ],
      series: [{}, clear, clear, clear],
      bands: [{ series: [2, 1], fill: ink('--band') }],
      hooks: {
        drawClear: [
          (chart) => {
            drawTicks(chart, latest.current.tickAt, ink)
            for (const hole of holes(latest.current.row)) hatch(chart, hole, ink)
          },
        ],
        draw: [
          (chart) => {
            drawMean(chart, latest.current.row, ink)
          },
        ],
        setCursor: [
          (chart) => {
            showTip(chart, tip.current, latest.current)
          },
        ],
      },
    }
    const chart = new uPlot(options, columns(latest.current.row), element)
    plot.current = chart
    const resize = new ResizeObserver(() => {
      chart.setSize({ width: element.clientWidth, height: HEIGHT_PX })
    })
    resize.observe(element)
    const onClick = () => {
      const cell = latest.current.row[chart.cursor.idx ?? -1]
      if (cell !== undefined) choose(cell.at)
    }
    chart.over.addEventListener('click', onClick)
    return () => {
      resize.disconnect()
      chart.destroy()
      plot.current = null
    }
  }, [scheme, gutterPx])

  useEffect(() => {
    plot.current?.setData(columns(row))
  }, [row, from, to, tickAt])

  return (
    <div className={css.frame} role="img" aria-label={label}>
      <div ref={host} className={css.plot} />
      <div ref={tip} className={css.tip} hidden />
    </div>
  )
}

function showTip(chart: uPlot, tip: HTMLDivElement | null, { row, zone }: Props): void {
  const cell = row[chart.cursor.idx ?? -1]
  if (tip === null) return
  const left = chart.cursor.left ?? -1
  tip.hidden = cell === undefined || left < 0
  if (cell === undefined || left < 0) return
  const { truth } = cell
  const lines = [timeText(cell.at, zone, 'minute')]
  if (truth === null) lines.push('not over yet')
  else if (truth.received > 0) {
    lines.push(`mean ${rtt(truth.rtt_us_mean)}`)
    lines.push(`${rtt(truth.rtt_us_min)} to ${rtt(truth.rtt_us_max)}`)
    lines.push(`loss ${loss(truth.sent, truth.received)} of ${truth.sent}`)
  } else lines.push(causeWords(truth.cause))
  tip.replaceChildren(
    ...lines.map((line) => {
      const div = document.createElement('div')
      div.textContent = line
      return div
    }),
  )
  const isRight = left > chart.over.clientWidth / 2
  const x = chart.over.offsetLeft + left
  tip.style.transform = `translateX(${isRight ? x - tip.offsetWidth - 12 : x + 12}px)`
}

export function LossLegend() {
  return (
    <ul className={css.legend} aria-label="Loss">
      {LOSS_MARKS.map((mark) => (
        <li key={mark.step}>
          <svg width="18" height="12" aria-hidden style={{ color: `var(--loss-${mark.step})` }}>
            {mark.step === 'all' ? (
              <path
                d="M6 3l6 6M12 3l-6 6"
                stroke="currentColor"
                strokeWidth="1.8"
                strokeLinecap="round"
              />
            ) : (
              <>
                <path d="M1 6h16" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" />
                <circle cx="9" cy="6" r={mark.radius} fill="currentColor" />
              </>
            )}
          </svg>
          {mark.words}
        </li>
      ))}
    </ul>
  )
}
