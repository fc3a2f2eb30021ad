type Props = {
  /** 0 and more; what is beyond 100 is said by colour and text. */
  percent: number
  label: string
  /** Where it is expected to go by the end, in the same percent. */
  projected?: number | null
}

/** Meter shows a share, with marks at 50, 75 and 90 percent. */
export function Meter({ percent, label, projected = null }: Props) {
  const tone = percent >= 100 ? 'bad' : percent >= 90 ? 'warn' : 'plain'
  const width = (value: number) => `${Math.min(Math.max(value, 0), 100)}%`
  return (
    <div
      className={`meter meter-${tone}`}
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.min(Math.max(Math.round(percent * 10) / 10, 0), 100)}
      aria-valuetext={`${Math.round(percent * 10) / 10} %`}
    >
      {projected !== null && projected > percent ? (
        <span className="meter-ahead" style={{ inlineSize: width(projected) }} />
      ) : null}
      <span className="meter-bar" style={{ inlineSize: width(percent) }} />
      <span className="meter-mark meter-mark-50" />
      <span className="meter-mark meter-mark-75" />
      <span className="meter-mark meter-mark-90" />
    </div>
  )
}
