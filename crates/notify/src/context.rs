//! What push rules ask about a room.

use blaupause_data::{
    Member, ReadSet,
    rows::{HeadRow, MemberRow},
};
use ruma::{RoomId, UInt, UserId, push::PushConditionRoomCtx};

use crate::{Notify, NotifyError};

impl Notify {
    /// The room as the rules of `user` see it; `None` if the room is gone.
    pub(crate) async fn rule_context(
        &self,
        user: &UserId,
        room: &RoomId,
    ) -> Result<Option<PushConditionRoomCtx>, NotifyError> {
        let data = self.data();
        let part = data.parts().room(room);
        let mut want = ReadSet::new();
        let head = want.get::<HeadRow>(part, &());
        let member = want.get::<MemberRow>(part, &(Member::Join as u8, data.parts().user(user)));
        let got = want.run(data).await?;
        let Some(head) = got.one(head)? else { return Ok(None) };
        let name = got.one(member)?.and_then(|row| row.value.display_name);
        let mut context = PushConditionRoomCtx::new(
            room.to_owned(),
            UInt::new_saturating(head.joined),
            user.to_owned(),
            name.unwrap_or_else(|| user.localpart().to_owned()),
        );
        context.power_levels = self.rooms().power_levels(room).await?.map(Into::into);
        Ok(Some(context))
    }
}
