-- The unrolled rounds of int_identity__components sufficed: no strong link joins two profiles.
with links as (
    select * from {{ ref('int_identity__links') }}
),

components as (
    select * from {{ ref('int_identity__components') }}
)

select
    links.left_type,
    links.right_type,
    left_side.profile_id as left_profile_id,
    right_side.profile_id as right_profile_id
from links
inner join components as left_side
    on links.left_type = left_side.identifier_type and links.left_value = left_side.identifier_value
inner join components as right_side
    on links.right_type = right_side.identifier_type and links.right_value = right_side.identifier_value
where links.strength = 'strong' and left_side.profile_id <> right_side.profile_id
