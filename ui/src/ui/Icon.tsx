/**
 * The console's own line icons, 16 by 16. They are decoration: the word beside them carries the
 * meaning.
 */

import type { Icon as MarkIcon } from '../domain/verdict'

const PATHS = {
  overview: 'M2.5 2.5h4.5v6H2.5zM9 2.5h4.5v3.5H9zM9 8h4.5v5.5H9zM2.5 10.5h4.5v3H2.5z',
  incidents: 'M9.2 1.5L3.5 9h4.2l-.9 5.5L12.5 7H8.3z',
  targets:
    'M8 2.2a5.8 5.8 0 1 0 0 11.6a5.8 5.8 0 0 0 0-11.6zM8 5.2a2.8 2.8 0 1 0 0 5.6a2.8 2.8 0 0 0 0-5.6zM8 .8v2M8 13.2v2M.8 8h2M13.2 8h2',
  agents:
    'M8 9.5v5M5 14.5h6M8 9.5a1.7 1.7 0 1 0 0-3.4a1.7 1.7 0 0 0 0 3.4zM4.6 11a4.6 4.6 0 0 1 0-6.5M11.4 11a4.6 4.6 0 0 0 0-6.5M2.6 12.8a7.3 7.3 0 0 1 0-10M13.4 12.8a7.3 7.3 0 0 0 0-10',
  wrench:
    'M13.6 4.1a3.6 3.6 0 0 1-4.8 4.4L4.6 12.7a1.3 1.3 0 0 1-1.9 0 1.3 1.3 0 0 1 0-1.9L7 6.6a3.6 3.6 0 0 1 4.4-4.8L9.3 3.9l.5 1.7 1.7.5z',
  tiers: 'M8 1.8l6 3-6 3-6-3zM2 8l6 3 6-3M2 11.2l6 3 6-3',
  health: 'M1.5 8.5h3l1.7-5 3 9 1.9-5.5.8 1.5h2.6',
  users:
    'M6 7.5a2.5 2.5 0 1 0 0-5a2.5 2.5 0 0 0 0 5zM1.5 13.5c0-2.5 2-4 4.5-4s4.5 1.5 4.5 4M10.5 2.8a2.5 2.5 0 0 1 0 4.5M12 9.9c1.5.5 2.5 1.8 2.5 3.6',
  key: 'M10.3 9.3a3.6 3.6 0 1 0-3.5-2.7L2 11.4V14h2.6v-1.8h1.8v-1.8h1.2l1-1.3c.5.2 1.1.2 1.7.2zM11 5.2v.1',
  bell: 'M8 1.8v1M3 11.5c1-1 1.3-2.2 1.3-4.2a3.7 3.7 0 0 1 7.4 0c0 2 .3 3.2 1.3 4.2zM6.6 13.9c.7.7 2.1.7 2.8 0',
  audit: 'M3.5 1.8h9v12.4h-9zM6 5h4M6 7.8h4M6 10.6h2.5',
  search: 'M7 2.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9zM10.4 10.4L14 14',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  upload: 'M8 10.5v-8M4.8 5.5L8 2.3l3.2 3.2M2.5 10.5v3h11v-3',
  sun: 'M8 5a3 3 0 1 0 0 6a3 3 0 0 0 0-6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1.1 1.1M11.9 11.9L13 13M3 13l1.1-1.1M11.9 4.1L13 3',
  moon: 'M13.5 9.6A5.8 5.8 0 0 1 6.4 2.5a5.8 5.8 0 1 0 7.1 7.1z',
  auto: 'M2 3h12v8H2zM5.5 13.5h5M8 11v2.5',
  chevron: 'M6 3.5L10.5 8 6 12.5',
  down: 'M3.5 6L8 10.5 12.5 6',
  more: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
  menu: 'M2.5 4.5h11M2.5 8h11M2.5 11.5h11',
  copy: 'M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3',
  close: 'M3.5 3.5l9 9M12.5 3.5l-9 9',
  arrow: 'M2.5 8h11M9.5 4L13.5 8l-4 4',
  warning: 'M8 2l6.5 11.5h-13zM8 6.5v3M8 11.5v.1',
  clock: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.8V8l2.2 1.5',
  out: 'M6.5 2.5h-4v11h4M10.5 5L13.5 8l-3 3M13.5 8h-7',
  keyboard: 'M1.5 4h13v8.5h-13zM4 6.5h.01M6.7 6.5h.01M9.3 6.5h.01M12 6.5h.01M4.5 10h7',
  edit: 'M10.8 2.7l2.5 2.5L5.5 13H3v-2.5z',
  trash: 'M2.5 4h11M6 4V2.3h4V4M4 4l.6 9.7h6.8L12 4M6.7 6.5v4.7M9.3 6.5v4.7',
  play: 'M4.5 2.8v10.4L13 8z',
  cut: 'M4 3.2a1.8 1.8 0 1 0 0 3.6a1.8 1.8 0 0 0 0-3.6zM4 9.2a1.8 1.8 0 1 0 0 3.6a1.8 1.8 0 0 0 0-3.6zM5.5 6l8 5.5M5.5 10l8-5.5',
  router: 'M2 8.5h12v4.5H2zM4.5 10.8h.01M7 10.8h.01M11.5 8.5V6M8.8 4.2a3.8 3.8 0 0 1 5.4 0',
  power: 'M8 1.8v6M4.4 4.2a5 5 0 1 0 7.2 0',
  lossy:
    'M1.5 8h2.2M6 8h1.4M10 8h.8M13.4 8h1.1M4.5 4.2l1.6 1.6M11.2 11.8l-1.6-1.6M11.2 4.2L9.6 5.8M4.5 11.8l1.6-1.6',
  slow: 'M4 1.8h8M4 14.2h8M5 1.8c0 3.4 6 3.6 6 6.2s-6 2.8-6 6.2M11 1.8c0 3.4-6 3.6-6 6.2s6 2.8 6 6.2',
  flap: 'M1.5 11.5h2.4V5h3.2v6.5h2.8V5h2.6v6.5h2',
  dig: 'M9.5 6.5L3.8 12.2M8 3.5l4.5 4.5c1.6-1.6 1.6-4.2 1-5.5-1.3-.6-3.9-.6-5.5 1zM2.2 12.2l1.6 1.6',
  fault:
    'M1.5 8h4l1-1.6M10.5 8h4M9.5 9.6L10.5 8M7.2 2l-.4 2.2M8.8 14l.4-2.2M11.4 3l-1.2 1.8M4.6 13l1.2-1.8',
  dot: 'M8 8h.01',
  whole: 'M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10',
  map: 'M5.8 3L2 4.6v8.6l3.8-1.6 4.4 1.6L14 11.6V3l-3.8 1.6zM5.8 3v8.6M10.2 4.6v8.6',
  topology:
    'M8 2.2a1.7 1.7 0 1 0 0 3.4a1.7 1.7 0 0 0 0-3.4zM3.4 10.4a1.7 1.7 0 1 0 0 3.4a1.7 1.7 0 0 0 0-3.4zM12.6 10.4a1.7 1.7 0 1 0 0 3.4a1.7 1.7 0 0 0 0-3.4zM7.2 5.4l-3 5.2M8.8 5.4l3 5.2M5.1 12.1h5.8',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
} as const

export type IconName = keyof typeof PATHS

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth={name === 'more' || name === 'dot' ? 2.4 : 1.4}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden
      focusable={false}
      style={{ flex: 'none' }}
    >
      <path d={PATHS[name]} />
    </svg>
  )
}

/** Each mark has a shape of its own, so that it reads in grey, and at a glance from far away. */
const SHAPES: Record<MarkIcon, { outline: string; glyph: string; isDashed?: boolean }> = {
  check: { outline: 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1z', glyph: 'M4.8 8.3l2.2 2.2 4.2-4.7' },
  wave: {
    outline: 'M8 .6l7.4 7.4L8 15.4.6 8z',
    glyph: 'M4.6 9c.9-2 2.2-2 3.4-1s2.5 1 3.4-1',
  },
  cross: { outline: 'M1.5 1.5h13v13h-13z', glyph: 'M5.2 5.2l5.6 5.6M10.8 5.2l-5.6 5.6' },
  question: {
    outline: 'M8 1.2a6.8 6.8 0 1 0 0 13.6A6.8 6.8 0 0 0 8 1.2z',
    glyph: 'M6.2 6.2a1.9 1.9 0 1 1 2.7 1.7c-.6.3-.9.6-.9 1.3M8 11.5v.1',
    isDashed: true,
  },
  pause: {
    outline: 'M8 1.2a6.8 6.8 0 1 0 0 13.6A6.8 6.8 0 0 0 8 1.2z',
    glyph: 'M6.3 5.5v5M9.7 5.5v5',
    isDashed: true,
  },
  'eye-off': {
    outline: 'M8 .6l7.4 7.4L8 15.4.6 8z',
    glyph: 'M4.5 8c1.6-2.4 5.4-2.4 7 0-1.6 2.4-5.4 2.4-7 0zM5 11l6-6',
  },
  plug: { outline: 'M1.5 1.5h13v13h-13z', glyph: 'M4.5 8h2.2M9.3 8h2.2M6.7 5.5v5M9.3 5.5v5' },
  octagon: {
    outline: 'M5 1h6l4 4v6l-4 4H5l-4-4V5z',
    glyph: 'M8 4.4v4.3M8 11.4v.1',
  },
  triangle: {
    outline: 'M8 1.2l7 12.8H1z',
    glyph: 'M8 6v3.4M8 11.7v.1',
  },
  shield: {
    outline: 'M8 1l6 2v4.6c0 3.8-2.6 6.2-6 7.4-3.4-1.2-6-3.6-6-7.4V3z',
    glyph: 'M8 4.8v3.8M8 11v.1',
  },
  hourglass: {
    outline: 'M8 1.2a6.8 6.8 0 1 0 0 13.6A6.8 6.8 0 0 0 8 1.2z',
    glyph: 'M5.8 4.8h4.4L8 8l2.2 3.2H5.8L8 8z',
    isDashed: true,
  },
}

export function MarkShape({ icon, size = 16 }: { icon: MarkIcon; size?: number }) {
  const { outline, glyph, isDashed = false } = SHAPES[icon]
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      aria-hidden
      focusable={false}
      style={{ flex: 'none' }}
    >
      {isDashed ? (
        <path
          d={outline}
          fill="none"
          stroke="var(--tone)"
          strokeWidth="1.3"
          strokeDasharray="2.6 1.7"
        />
      ) : (
        <path
          d={outline}
          fill="var(--tone-fill)"
          stroke="var(--tone-fill)"
          strokeLinejoin="round"
        />
      )}
      <path
        d={glyph}
        fill="none"
        stroke={
          isDashed
            ? 'var(--tone)'
            : icon === 'wave' || icon === 'eye-off' || icon === 'shield'
              ? '#1a1205'
              : '#fff'
        }
        strokeWidth="1.6"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  )
}
