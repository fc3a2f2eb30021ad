import type { AnchorHTMLAttributes, MouseEvent } from 'react'
import { navigate } from '../router'

type Props = AnchorHTMLAttributes<HTMLAnchorElement> & { href: string; replace?: boolean }

/** Link goes to a path of the page without loading it anew; other clicks are the browser's. */
export function Link({ href, replace = false, onClick, ...rest }: Props) {
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event)
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey
    if (event.defaultPrevented || !plain || rest.target) return
    event.preventDefault()
    navigate(href, { replace })
  }
  return <a {...rest} href={href} onClick={follow} />
}
