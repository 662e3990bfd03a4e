/** Short names for what the generated schema calls by long ones. */
import type { components } from "@/api/schema";

type Schemas = components["schemas"];

export type Hit = Schemas["SearchHit"];
export type SearchAnswer = Schemas["SearchResponse"];
/** What a search asks for, but for what it searches with. */
export interface SearchOptions {
  top_k: number;
  filter?: Record<string, Json>;
  mode?: "vector" | "keywords" | "hybrid";
  keywords?: string;
  positive?: string[];
  negative?: string[];
  strategy?: Schemas["Strategy"];
  threshold?: "auto";
  diversity?: number;
  collapse_duplicates?: boolean;
  group_by?: string;
  group_size?: number;
  group_step?: number | "day" | "month" | "year";
  query_previews?: boolean;
}
export type ImageDocument = Schemas["ImageDocument"];
export type Tagging = Schemas["TaggingDocument"];
export type ImagePage = Schemas["ImagePage"];
export type Stats = Schemas["StatsResponse"];
export type Health = Schemas["HealthResponse"];
export type JobDocument = Schemas["JobDocument"];
export type JobSummary = Schemas["JobSummary"];
export type UploadSummary = Schemas["UploadSummary"];
export type UploadDocument = Schemas["UploadDocument"];
export type UploadList = Schemas["UploadList"];
export type CacheTier = Schemas["CacheTierStatus"];

export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };
export type Metadata = Record<string, Json>;

/** What a grid needs to show an image, be it a search's hit or an entry of the library. */
export interface Picture {
  image_id: string;
  sha256: string;
  width: number;
  height: number;
}
export type Facet = Schemas["FacetDocument"];
export type Facets = Schemas["FacetsResponse"];
