import type { ButtonHTMLAttributes } from "react";
import { Icon, type IconName } from "@/ui/icons";

const VARIANTS = {
  primary: "bg-accent text-on-accent hover:bg-accent-strong",
  plain: "border border-line bg-surface text-ink hover:border-line-strong hover:bg-sunken",
  quiet: "text-muted hover:bg-sunken hover:text-ink",
  danger: "text-danger hover:bg-danger-soft",
} as const;

export type Variant = keyof typeof VARIANTS;

/** How anything looks that is pressed: a button, or a link that acts as one. */
export const buttonClass = (variant: Variant, extra = "") =>
  `inline-flex min-h-10 items-center justify-center gap-2 rounded-full px-3 text-sm font-medium sm:px-4 whitespace-nowrap transition-colors disabled:opacity-50 ${VARIANTS[variant]} ${extra}`;

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  variant?: Variant;
  icon?: IconName;
}

export function Button({ variant = "plain", icon, className = "", children, ...rest }: Props) {
  return (
    <button type="button" className={buttonClass(variant, className)} {...rest}>
      {icon && <Icon name={icon} className="size-[1.125rem]" />}
      {children}
    </button>
  );
}

interface IconButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  icon: IconName;
  label: string;
}

export function IconButton({ icon, label, className = "", ...rest }: IconButtonProps) {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      className={`inline-flex size-10 items-center justify-center rounded-full text-muted transition-colors hover:bg-sunken hover:text-ink ${className}`}
      {...rest}
    >
      <Icon name={icon} />
    </button>
  );
}
