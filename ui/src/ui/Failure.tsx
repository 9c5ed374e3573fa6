/** What went wrong, in the server's words, with the number that finds it in the log. */

import { Button } from '@mantine/core'
import type { ErrorComponentProps } from '@tanstack/react-router'
import { useQueryErrorResetBoundary } from '@tanstack/react-query'

import { Problem } from '../api/client'
import css from './Failure.module.css'
import { Icon } from './Icon'
import { Words } from './Words'

interface Props {
  error: Error | null
  /** Fields of a form that tell their reason themselves. */
  atPlace?: readonly string[]
}

export function Failure({ error, atPlace = [] }: Props) {
  if (error === null) return null
  const problem = error instanceof Problem ? error : null
  // What a person can mend nobody looks up in the log.
  const requestId = problem?.fields.length === 0 ? problem.requestId : null
  return (
    <div role="alert" className={css.failure}>
      <Icon name="warning" />
      <span>
        <Words text={problem?.words(atPlace) ?? error.message} />
        {requestId !== null && <small className={css.request}> request {requestId}</small>}
      </span>
    </div>
  )
}

export function PageFailure({ error, reset }: ErrorComponentProps) {
  const boundary = useQueryErrorResetBoundary()
  const isGone = error instanceof Problem && error.status === 404
  return (
    <div className={css.page}>
      <h1>{isGone ? 'Not here' : 'This page cannot be shown'}</h1>
      <Failure error={error instanceof Error ? error : new Error(String(error))} />
      <Button
        size="sm"
        onClick={() => {
          boundary.reset()
          reset()
        }}
      >
        Try again
      </Button>
    </div>
  )
}
