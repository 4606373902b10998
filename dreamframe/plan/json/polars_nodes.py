"""The nodes of polars expressions that hold data and nothing else: all that a text may name, whoever wrote it.

Polars 2.0 and 2.1 have these. A node that is not here may hold a pickled function, the path of a library or a plan that reads files, and a later polars
may bring new ones: whatever is unknown stays out. Nodes without content are texts, which hold nothing, and the fields of nodes begin in lower case.
"""

from __future__ import annotations

NODES = (
    "AddBusinessDay Agg Alias All Any AnyOf Append ApproxQuantile ArgSort Array ArrayExpr Backward Base64Decode Binary BinaryExpr "
    "Bitwise Boolean Business BusinessDayCount ByDType ByIndex ByName Cast CastTimeUnit Categorical Clip Column Combine ConcatExpr "
    "ConcatHorizontal ConcatVertical Contains ContainsAny ConvertTimeZone CorrCov Correlation Count CountMatches Covariance CumCount "
    "CumMax CumMin CumProd CumSum Cumulative Cut DataTypeFunction Date DateRange DateRanges Datetime DatetimeFunction DatetimeRange "
    "DatetimeRanges Decimal DecimalArith DefaultValue Diff Difference Display Drop Duration Dyn EndsWith Entropy Enum Eq Eval EwmMean "
    "EwmMeanBy EwmStd EwmSum EwmSumBy EwmVar ExclusiveOr Explode Extension Extract ExtractGroups ExtractMany Field FieldByName "
    "FieldDataTypeByName FillNullWithStrategy Filter Find FindMany First Float Float16 Float32 Float64 Format Forward Function Gather "
    "GatherEvery Get Hash HexDecode Hist Implode InnerDataType Int Int128 Int16 Int32 Int64 Int8 IntRange IntRanges Interpolate "
    "Intersect Intervals IsBetween IsBusinessDay IsClose IsEmpty IsIn IsSorted Item Join JsonDecode KeepName Kurtosis Last LinearSpace "
    "LinearSpaces List ListExpr Literal Map MapExpr Matches Max Mean MeanHorizontal Median Min Mode NUnique Normalize Not Null OfExpr "
    "Ordered Over PadEnd PadStart Pow Prefix PrefixFields QCut Quantile Quantiles Random Range Rank Ranks Reinterpret RenameAlias "
    "RenameFields Replace ReplaceMany ReplaceStrict ReplaceTimeZone ReqSketch Reshape Rolling RollingExpr RollingExprBy Round RoundSF "
    "RowDecode RowEncode Sample Scalar SearchSorted SelectFields Selector Series SetOperation SetSortedFlag Skew Slice Sort SortBy "
    "Specified Split SplitExact SplitN SplitRegex Sql StartsWith Std String StringExpr Strptime Struct StructEval StructExpr Suffix "
    "SuffixFields Sum SumHorizontal TemporalExpr Ternary Time TimeRange TimeRanges TimeStamp To ToArray ToDecimal ToInteger ToString "
    "ToStruct TopK TopKBy TotalDays TotalHours TotalMicroseconds TotalMilliseconds TotalMinutes TotalNanoseconds TotalSeconds "
    "Trigonometry Truncate UInt128 UInt16 UInt32 UInt64 UInt8 Union Unique Unknown ValueCounts Var WrapInArray WrapInList "
)
PLAIN_NODES = frozenset(NODES.split())
