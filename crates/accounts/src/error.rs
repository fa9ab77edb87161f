use blaupause_data::DataError;

use crate::PasswordFlaw;

/// Why something about an account was not done. The texts may be shown.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// No such token, or its time is over. `soft_logout`: signing in again with the same device
    /// brings everything back, so the client keeps its keys.
    #[error("unknown access token")]
    UnknownToken { soft_logout: bool },
    /// Name or password is wrong; which one is not said.
    #[error("wrong user name or password")]
    WrongPassword,
    /// Too many wrong passwords: not even a right one is looked at.
    #[error("too many wrong passwords, try again later")]
    TooManyTries { retry_after_ms: u64 },
    /// The login token is unknown, used or too old.
    #[error("unknown login token")]
    WrongLoginToken,
    /// This way of signing in is switched off.
    #[error("this way of signing in is not offered")]
    SignInNotOffered,
    /// The account is closed for good.
    #[error("this account has been deactivated")]
    Deactivated,
    /// The account is closed for now; sessions live on.
    #[error("this account has been locked")]
    Locked,
    /// A name that no new user may have.
    #[error("invalid user name: {0}")]
    InvalidUsername(&'static str),
    /// Somebody has, or had, the name.
    #[error("this user name is taken")]
    UserInUse,
    /// The name belongs to an application service.
    #[error("this user name is reserved")]
    Exclusive,
    /// An application service may not act as this user.
    #[error("this user is not in a namespace of the application service")]
    OutsideNamespace,
    /// An application service may act as this user, but there is none.
    #[error("the application service has not registered this user")]
    NotRegistered,
    /// The user whom an application service acts as has no such device.
    #[error("the user has no such device")]
    MasqueradeDevice,
    /// Nobody may register, or not this way.
    #[error("registration is not open")]
    RegistrationClosed,
    /// Guests are not welcome.
    #[error("guest access is disabled")]
    GuestsClosed,
    /// No such registration token, or it is used up or too old.
    #[error("invalid registration token")]
    WrongRegistrationToken,
    /// The nonce is unknown, used or too old, or the MAC does not fit.
    #[error("wrong registration secret")]
    WrongSharedSecret,
    /// The password is not good enough.
    #[error("weak password: {0}")]
    WeakPassword(&'static str),
    /// The password is not what the operator's rules ask for.
    #[error("weak password: {0}")]
    PasswordFlaw(PasswordFlaw),
    /// The mail address is somebody's already.
    #[error("this mail address is in use")]
    AddressInUse,
    /// Addresses of this domain are not taken.
    #[error("mail addresses of this domain are not allowed here")]
    AddressDenied,
    /// Nobody has shown that the address is theirs, or it is too long ago, or used up.
    #[error("the mail address has not been confirmed")]
    AddressUnproved,
    /// There is no account without a mail address.
    #[error("a confirmed mail address is needed")]
    AddressNeeded,
    /// A value that cannot be.
    #[error("invalid value: {0}")]
    Invalid(&'static str),
    /// Account data must be JSON objects.
    #[error("content must be a JSON object")]
    NotAnObject,
    /// Account data that only the server writes.
    #[error("{0} cannot be set through this API")]
    ServerManaged(&'static str),
    /// More bytes than a limit allows.
    #[error("too large: {0}")]
    TooLarge(&'static str),
    /// More things than a limit allows.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// The profile would be larger than the specification allows.
    #[error("the profile would be too large")]
    ProfileTooLarge,
    /// The name of a profile field is longer than the specification allows.
    #[error("the name of the profile field is too long")]
    ProfileKeyTooLarge,
    /// No such local user.
    #[error("unknown user")]
    UserUnknown,
    /// The user has no such device.
    #[error("unknown device")]
    DeviceUnknown,
    /// Others changed the same thing again and again.
    #[error("too much happens at once, try again")]
    Busy,
    #[error(transparent)]
    Data(#[from] DataError),
}
