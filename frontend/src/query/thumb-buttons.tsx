import { type Mark, toggled } from "@/query/feedback-marks";
import { Icon } from "@/ui/icons";

interface Props {
  /** Of the image. */
  name: string;
  mark: Mark | null;
  onMark: (mark: Mark | null) => void;
  tabIndex?: number;
  onFocus?: () => void;
  /** Classes of a button, by whether it is pressed. */
  look: (pressed: boolean) => string;
}

const THUMBS = [
  { mark: "up", label: "More like this", key: "+" },
  { mark: "down", label: "Less like this", key: "-" },
] as const;

/** The two marks of an image, as buttons: pressed once more, one takes its mark back. */
export function Thumbs({ name, mark, onMark, look, ...rest }: Props) {
  return THUMBS.map((thumb) => (
    <button
      key={thumb.mark}
      type="button"
      aria-label={`${thumb.label}: ${name}`}
      title={`${thumb.label} (${thumb.key})`}
      aria-pressed={mark === thumb.mark}
      onClick={() => onMark(toggled(mark, thumb.mark))}
      className={look(mark === thumb.mark)}
      {...rest}
    >
      <Icon name={thumb.mark} className="size-[1.125rem]" />
    </button>
  ));
}
