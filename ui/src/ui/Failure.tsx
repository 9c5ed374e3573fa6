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
  /** Where no form shows them, the refused fields are the reason. */
  hasNoForm?: boolean
}

export function Failure({ error, hasNoForm = false }: Props) {
  if (error === null) return null
  const requestId = error instanceof Problem ? error.requestId : null
  return (
    <div role="alert" className={css.failure}>
      <Icon name="warning" />
      <span>
        <Words text={hasNoForm ? fieldWords(error) : error.message} />
        {requestId !== null && <small className={css.request}> request {requestId}</small>}
      </span>
    </div>
  )
}

function fieldWords(error: Error): string {
  if (!(error instanceof Problem) || error.fields.length === 0) return error.message
  return error.fields.map(({ field, reason }) => `${field} ${reason}`).join('; ')
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
