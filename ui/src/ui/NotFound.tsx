/** What stands where no page is. */

import { Link } from '@tanstack/react-router'
import { useEffect } from 'react'

import { Empty, PageHeader } from './Panel'

export function NotFound() {
  useEffect(() => {
    document.title = 'No such page · Faultline'
  }, [])
  return (
    <>
      <PageHeader title="No such page" />
      <Empty
        title="There is no page at this address"
        action={<Link to="/">Go to the overview</Link>}
      >
        The address may be mistyped, or the thing it named is gone.
      </Empty>
    </>
  )
}
