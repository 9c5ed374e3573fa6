/** The frame of a part of a page, its head, and what stands in it when there is nothing. */

import type { ReactNode } from 'react'

import css from './Panel.module.css'

interface PanelProps {
  title?: ReactNode
  aside?: ReactNode
  children: ReactNode
  /** Content without padding: tables and lists bring their own. */
  isFlush?: boolean
}

export function Panel({ title, aside, children, isFlush = false }: PanelProps) {
  return (
    <section className={css.panel}>
      {title !== undefined && (
        <header className={css.head}>
          <h2>{title}</h2>
          {aside !== undefined && <div className={css.aside}>{aside}</div>}
        </header>
      )}
      <div className={isFlush ? undefined : css.body}>{children}</div>
    </section>
  )
}

export function PageHeader({
  title,
  lead,
  actions,
}: {
  title: ReactNode
  lead?: ReactNode
  actions?: ReactNode
}) {
  return (
    <header className={css.page}>
      <div className={css.titles}>
        <h1>{title}</h1>
        {lead !== undefined && <p>{lead}</p>}
      </div>
      {actions !== undefined && <div className={css.actions}>{actions}</div>}
    </header>
  )
}

/** Says that there is nothing, and what to do next. */
export function Empty({
  title,
  children,
  action,
}: {
  title: string
  children?: ReactNode
  action?: ReactNode
}) {
  return (
    <div className={css.empty}>
      <div className={`${css.emptyMark} hatched`} aria-hidden />
      <strong>{title}</strong>
      {children !== undefined && <p>{children}</p>}
      {action}
    </div>
  )
}

/** A label with its value below, for the small facts of a page. */
export function Fact({
  label,
  children,
  hint,
  isWide = false,
}: {
  label: string
  children: ReactNode
  hint?: ReactNode
  /** As wide as two: for what would break, as a path. */
  isWide?: boolean
}) {
  return (
    <div className={css.fact} data-wide={isWide || undefined}>
      <dt>{label}</dt>
      <dd>{children}</dd>
      {hint !== undefined && <dd className={css.hint}>{hint}</dd>}
    </div>
  )
}

export function Facts({ children }: { children: ReactNode }) {
  return <dl className={css.facts}>{children}</dl>
}

export function Tag({ children }: { children: ReactNode }) {
  return <span className={css.tag}>{children}</span>
}
