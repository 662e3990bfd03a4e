import { type Mark, nextMark } from "@/query/feedback-marks";
import { Icon } from "@/ui/icons";

interface Props {
  /** Of the image. */
  name: string;
  mark: Mark | null;
  onMark: (mark: Mark | null) => void;
  tabIndex?: number;
  onFocus?: () => void;
  /** Classes of a button, by whether it is pressed. */
  buttonClass: (pressed: boolean) => string;
}

const THUMBS = [
  { mark: "positive", icon: "up", label: "More like this", key: "+" },
  { mark: "negative", icon: "down", label: "Less like this", key: "-" },
] as const;

/** The two marks of an image, as buttons: pressed once more, one takes its mark back. */
export function ThumbButtons({ name, mark, onMark, buttonClass, ...rest }: Props) {
  return THUMBS.map((thumb) => (
    <button
      key={thumb.mark}
      type="button"
      aria-label={`${thumb.label}: ${name}`}
      title={`${thumb.label} (${thumb.key})`}
      aria-pressed={mark === thumb.mark}
      onClick={() => onMark(nextMark(mark, thumb.mark))}
      className={buttonClass(mark === thumb.mark)}
      {...rest}
    >
      <Icon name={thumb.icon} className="size-[1.125rem]" />
    </button>
  ));
}
