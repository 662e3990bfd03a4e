import { useMutation } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { unwrap, api } from "@/api/client";
import { errorText } from "@/api/problem";
import type { Mark } from "@/query/feedback-marks";
import type { Part } from "@/query/search-state";
import { useToast } from "@/ui/toasts";

interface FeedbackEvent {
  queryId: string;
  parts: Part[];
  id: string;
  mark: Mark | null;
}

/**
 * Sends marks to the server, for a later evaluation of the search; the ranking does not use them. All marks of one query
 * go under the id of its first answer, from before the first mark.
 */
export function useFeedback(parts: Part[], queryId: string | undefined) {
  const toast = useToast();
  const { mutate } = useMutation({
    mutationFn: ({ queryId: id, parts: asked, id: imageId, mark }: FeedbackEvent) =>
      unwrap(
        api.POST("/api/v1/feedback", {
          body: {
            query_id: id,
            ...repeatableQuery(asked),
            image_id: imageId,
            verdict: mark ?? "clear",
          },
        }),
      ),
    onError: (error) => toast({ text: `Your mark was not saved: ${errorText(error)}`, icon: "warning" }),
  });

  const first = useRef({ what: "", queryId: "" });
  const what = JSON.stringify(parts);
  useEffect(() => {
    if (queryId !== undefined && first.current.what !== what) first.current = { what, queryId };
  }, [what, queryId]);

  return (id: string, mark: Mark | null) => {
    if (first.current.queryId !== "") mutate({ queryId: first.current.queryId, parts, id, mark });
  };
}

interface NamedPart {
  image_id?: string;
  text?: string;
  weight: number;
}

/** The query, if it can be repeated: the server does not store uploaded images. */
function repeatableQuery(parts: Part[]) {
  const query = parts.flatMap((part): NamedPart[] => {
    if (part.kind === "image") return [{ image_id: part.id, weight: part.weight }];
    return part.kind === "text" ? [{ text: part.text, weight: part.weight }] : [];
  });
  return query.length === parts.length ? { query: { query } } : {};
}
